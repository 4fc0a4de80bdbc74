// The database is away: who comes back is told so, and who logs in, too. Environment: DASHBOARD (URL), COOKIE (NAME=VALUE of a
// session). Ends with 0, or tells which step failed.

import { launch } from './browser.mjs'

const { DASHBOARD, COOKIE } = process.env
const TOLD = /The database does not answer/

const browser = await launch()

/** Opens the dashboard as somebody with these cookies, and what the browser remembers. */
async function open(cookies, known) {
  const context = await browser.newContext({ locale: 'en-US' })
  await context.addCookies(cookies)
  const page = await context.newPage()
  page.setDefaultTimeout(20_000)
  await page.addInitScript((known) => known && localStorage.setItem('coregate.known', '1'), known)
  await page.goto(DASHBOARD)
  return page
}

const [name, value] = COOKIE.split('=')
const back = await open([{ name, value, url: DASHBOARD }], true)
await back.getByText(TOLD).waitFor()
await back.getByRole('button', { name: 'Try again' }).waitFor()
console.log('ok: somebody who comes back is told')

const stranger = await open([], false)
await stranger.getByLabel('Name').fill('alice')
await stranger.getByLabel('Password').fill('correct horse battery')
await stranger.getByRole('button', { name: 'Log in' }).click()
await stranger.getByText(TOLD).waitFor()
console.log('ok: somebody who logs in is told')

await browser.close()
