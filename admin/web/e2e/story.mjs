// An operator's first day, in a real browser, against the real admin and a real engine. Environment: SETUP_LINK, DASHBOARD
// (URL), LISTEN (address that the engine is to listen on), NODE (address of an origin that answers 200), SCREENSHOTS (folder).
// Ends with 0, or tells which step failed.

import { request } from 'node:http'
import { join } from 'node:path'
import { launch } from './browser.mjs'
import { eventually, PATIENCE, steps } from './steps.mjs'
import { watch } from './watch.mjs'

const { SETUP_LINK, DASHBOARD, LISTEN, NODE, SCREENSHOTS = 'screenshots' } = process.env
const HOST = 'shop.test'
const PASSWORD = 'a long enough password'

const browser = await launch()
const context = await browser.newContext({ viewport: { width: 1360, height: 800 }, reducedMotion: 'reduce' })
const page = await context.newPage()
// 409: the stale edit; 401: the session that ended; 422: a form that does not check.
const wrong = await watch(page, [401, 409, 422])
const button = (name) => page.getByRole('button', { name, exact: true })
const dialog = () => page.getByRole('dialog')
const step = steps(page, SCREENSHOTS, 'story', wrong)

/** One request through the engine; the status, or 0 if there was no answer. */
function ask() {
  const [host, port] = LISTEN.split(':')
  return new Promise((resolve) => {
    const sent = request({ host, port, path: '/', headers: { host: HOST }, agent: false }, (answer) => {
      answer.resume()
      answer.on('end', () => resolve(answer.statusCode))
    })
    sent.on('error', () => resolve(0))
    sent.end()
  })
}

async function publish(message) {
  await button('Review and save').click()
  await dialog().getByLabel('Message').fill(message)
  const now = dialog().getByRole('button', { name: 'Publish', exact: true })
  await now.click()
  await now.waitFor({ state: 'detached' })
}

const open = (hash) => page.goto(`${DASHBOARD}/${hash}`)
const figure = async (locator) => Number((await locator.textContent()).replace(/[^0-9.]/g, '')) || 0

await step('the set-up link makes the first account', async () => {
  await page.goto(SETUP_LINK)
  await page.getByLabel('Name').fill('alice')
  await page.getByLabel('Password').fill(PASSWORD)
  await page.getByLabel('The same again').fill(PASSWORD)
  await button('Make the account').click()
  await page.getByRole('heading', { name: 'Overview' }).waitFor()
})

await step('the engine is there and runs what is in force', async () => {
  await open('#/instances')
  await page.getByRole('row').filter({ hasText: 'current' }).waitFor()
})

await step('a listener is made', async () => {
  await open('#/listeners?new=1')
  await page.getByLabel('Name').fill('public')
  await page.getByLabel('Address').fill(LISTEN)
  await publish('first listener')
  await page.getByRole('heading', { name: 'public' }).waitFor()
})

await step('a service is made; what is wrong is said beside the field while typing', async () => {
  await open('#/services?new=1')
  await page.getByLabel('Name', { exact: true }).fill('shop')
  await page.getByLabel('Hosts').fill(HOST)
  await page.getByLabel('Address').fill(NODE.split(':')[0])
  await page.locator('.row-wrap .field-error').waitFor()
  await page.getByLabel('Address').fill(NODE)
  await page.locator('.row-wrap .field-error').waitFor({ state: 'detached' })
  await publish('first service')
  await page.getByRole('heading', { name: 'shop' }).waitFor()
})

await step('requests flow through it', async () => {
  await eventually('200 through the engine', async () => {
    const status = await ask()
    return status === 200 || status
  })
})

await step('its chart moves', async () => {
  const today = page.locator('.key.today strong')
  await eventually('the count of today', async () => {
    await Promise.all(Array.from({ length: 20 }, ask))
    const count = await figure(today)
    return count >= 200 || count
  })
  const hours = await page.locator('.day-chart tbody td:nth-child(2)').allInnerTexts()
  if (!hours.some((text) => Number(text.replace(/\D/g, '')) >= 200)) throw new Error(`no hour has them: ${hours}`)
  const drawn = await page.locator('.day-chart canvas').evaluate((canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
    return data.some((value) => value !== 0)
  })
  if (!drawn) throw new Error('the chart is blank')
  await page
    .getByRole('row')
    .filter({ hasText: NODE })
    .filter({ hasText: /up|not checked/ })
    .waitFor()
})

await step('the overview shows them live', async () => {
  await open('#/')
  const now = page.locator('.stat-value').first()
  await eventually('requests now', async () => {
    await Promise.all(Array.from({ length: 20 }, ask))
    const qps = await figure(now)
    return qps > 0 || qps
  })
  await page.locator('.bar-list').getByText('shop').waitFor()
})

await step('a limit answers 429', async () => {
  await open('#/services/shop?tab=form')
  const limits = page.locator('#section-limits')
  await limits.getByLabel('Requests a second').first().fill('1')
  await publish('a limit')
  await eventually('429', async () => {
    const statuses = await Promise.all(Array.from({ length: 5 }, ask))
    return statuses.includes(429) || statuses
  })
})

await step('an older revision is brought back, and the limit is gone', async () => {
  await open('#/revisions')
  await page.getByRole('row').filter({ hasText: 'first service' }).getByRole('link').click()
  await button('Go back to this').click()
  await dialog().getByText('1 item changes').waitFor()
  await dialog().getByRole('button', { name: 'Go back to this' }).click()
  await dialog().waitFor({ state: 'detached' })
  await page.getByText('in force').first().waitFor()
  await eventually('no 429 any more', async () => {
    const statuses = await Promise.all(Array.from({ length: 20 }, ask))
    return statuses.every((status) => status === 200) || statuses
  })
})

await step('a change with a deadline is taken back before it is over', async () => {
  await open('#/services/shop?tab=form')
  await page.getByLabel('Description').fill('not for long')
  await button('Review and save').click()
  await dialog().getByLabel('Take it back unless confirmed').selectOption('300')
  await dialog().getByRole('button', { name: 'Publish', exact: true }).click()
  await dialog().waitFor({ state: 'detached' })
  await page.getByRole('timer').waitFor()
  await open('#/audit')
  await page.getByRole('timer').waitFor()
  await button('Take it back now').click()
  await page.getByRole('timer').waitFor({ state: 'detached' })
  await open('#/services/shop?tab=form')
  if ((await page.getByLabel('Description').inputValue()) !== '') throw new Error('the description is still there')
})

await step('two edit the same service: both versions are shown, and one chooses', async () => {
  await page.getByLabel('Description').fill('mine')
  const second = await context.newPage()
  await second.goto(`${DASHBOARD}/#/services/shop?tab=form`)
  await second.getByLabel('Description').fill('theirs')
  await second.getByRole('button', { name: 'Review and save' }).click()
  await second.getByRole('dialog').getByRole('button', { name: 'Publish', exact: true }).click()
  await second.getByText('shop is published').waitFor()
  await second.close()
  await button('Review and save').click()
  await dialog().getByRole('button', { name: 'Publish', exact: true }).click()
  await page.getByRole('heading', { name: 'Somebody else was faster' }).waitFor()
  await dialog().getByText('theirs', { exact: true }).waitFor()
  await dialog().getByText('mine', { exact: true }).waitFor()
  await page.screenshot({ path: join(SCREENSHOTS, 'conflict.png') })
  await dialog().getByRole('button', { name: 'Go on with this' }).click()
  await page.getByRole('heading', { name: 'Save shop' }).waitFor()
  await dialog().getByRole('button', { name: 'Publish', exact: true }).click()
  await dialog().waitFor({ state: 'detached' })
  await page.reload()
  await page.getByLabel('Description').waitFor()
  if ((await page.getByLabel('Description').inputValue()) !== 'mine') throw new Error('mine was not saved')
})

await step('a draft waits, is compared on requests and published', async () => {
  await page.getByLabel('Path prefix').fill('/only')
  await button('Review and save').click()
  await dialog().getByText('To the draft').click()
  await dialog().getByRole('button', { name: 'Put into the draft' }).click()
  await page.getByRole('heading', { name: 'Draft' }).waitFor()
  await page.getByLabel('Requests or lines of an access log').fill(`GET http://${HOST}/\nGET http://${HOST}/only/x`)
  await button('Compare').click()
  await page.getByText(/[12] of 2 requests would fare differently/).waitFor()
  await page
    .locator('.comparison li')
    .filter({ hasText: `http://${HOST}/` })
    .getByText('404')
    .first()
    .waitFor()
  if ((await ask()) !== 200) throw new Error('the draft is in force already')
  await page.screenshot({ path: join(SCREENSHOTS, 'draft.png'), fullPage: true })
  await button('Publish').click()
  await dialog().getByRole('button', { name: 'Publish', exact: true }).click()
  await page.getByRole('heading', { name: /^Revision/ }).waitFor()
  await eventually('404 for what no route takes', async () => {
    const status = await ask()
    return status === 404 || status
  })
})

await step('explain says why', async () => {
  await open('#/explain')
  await page.getByLabel('URL').fill(`http://${HOST}/`)
  await button('Explain').click()
  await page.getByRole('heading', { name: 'What becomes of it' }).waitFor()
  await page.locator('.card .badge.bad').waitFor()
})

await step('a tenant’s secret is shown once', async () => {
  await open('#/tenants?new=1')
  await page.getByLabel('App id').fill('mobile')
  await publish('first tenant')
  await page.getByRole('heading', { name: 'Secret of mobile' }).waitFor()
  const secret = await dialog().locator('.copyable code').textContent()
  if (secret.length < 16) throw new Error(`that is no secret: ${secret}`)
  await button('I have kept it').click()
  await page.getByRole('heading', { name: 'mobile', exact: true }).waitFor()
  if ((await page.content()).includes(secret)) throw new Error('the secret is still on the page')
})

await step('a viewer sets a password by link, sees everything and can change nothing', async () => {
  await open('#/account?tab=admins')
  await button('Add a person').click()
  await dialog().getByLabel('Name').fill('vera')
  await dialog().getByRole('button', { name: 'Add a person' }).click()
  await page.getByRole('heading', { name: 'Link for vera' }).waitFor()
  const link = await dialog().locator('.copyable code').textContent()
  await button('I have kept it').click()
  const theirs = await browser.newContext()
  const vera = await theirs.newPage()
  vera.setDefaultTimeout(PATIENCE)
  const bad = await watch(vera, [401])
  await vera.goto(link)
  await vera.getByLabel('Password').fill(PASSWORD)
  await vera.getByLabel('The same again').fill(PASSWORD)
  await vera.getByRole('button', { name: 'Set the password' }).click()
  await vera.getByRole('heading', { name: 'Overview' }).waitFor()
  await vera.goto(`${DASHBOARD}/#/services`)
  await vera.getByRole('link', { name: 'shop' }).waitFor()
  if (await vera.getByRole('link', { name: 'New service' }).count()) throw new Error('a viewer can make services')
  await vera.goto(`${DASHBOARD}/#/services/shop?tab=form`)
  await vera.getByLabel('Description').waitFor()
  if (await vera.getByLabel('Description').isEditable()) throw new Error('a viewer can edit')
  await theirs.close()
  wrong.push(...bad)
})

await step('a session that ended leads to the login and back', async () => {
  await open('#/services')
  await page.getByRole('link', { name: 'shop' }).waitFor()
  await context.clearCookies()
  await page.getByRole('link', { name: 'shop' }).click()
  await page.getByRole('heading', { name: 'Log in' }).waitFor()
  await page.getByLabel('Name').fill('alice')
  await page.getByLabel('Password').fill(PASSWORD)
  await button('Log in').click()
  await page.getByRole('heading', { name: 'shop' }).waitFor()
})

await step('nothing went wrong on the way', async () => {
  if (wrong.length > 0) throw new Error(wrong.join('\n'))
})
await browser.close()
