// Dialogs and menus while they are open, in light and dark: no serious finding of axe-core, the keyboard goes in, stays in
// and comes back, Escape closes. Environment: SETUP_LINK, DASHBOARD (URL), SCREENSHOTS (folder).

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { Api } from './api.mjs'
import { launch } from './browser.mjs'
import { enter, eventually, PATIENCE } from './steps.mjs'
import { findings, overflow, watch } from './watch.mjs'

const { SETUP_LINK, DASHBOARD, SCREENSHOTS: folder = 'screenshots' } = process.env
mkdirSync(folder, { recursive: true })

const api = new Api(DASHBOARD)
await api.setUp(SETUP_LINK, 'alice', 'a long enough password')
const service = (more) => ({ name: 'shop', routes: [{}], nodes: [{ address: '127.0.0.1:1' }], ...more })
await api.call('POST', '/services', { body: service(), message: 'first' })
await api.call('POST', '/services', { body: service({ name: 'blog', routes: [{ path_prefix: '/blog' }] }) })
await api.call('POST', '/tenants', { body: { app_id: 'mobile', name: 'Mobile' } })
await api.call('POST', '/tenants', { body: { app_id: 'later', name: 'Later' }, draft: true })

const browser = await launch()
const failures = []

/** How each is opened: by that button on that page, after `before`. What asks for no answer is told apart by `menu`. */
const DIALOGS = {
  delete: { hash: '#/services/shop', button: 'Delete' },
  save: { hash: '#/services/shop?tab=form', before: describe, button: 'Review and save' },
  secret: { hash: '#/tenants/mobile', button: 'New secret' },
  draft: { hash: '#/draft', button: 'Publish' },
  rollback: { hash: '#/revisions/1', button: 'Go back to this' },
  person: { hash: '#/account?tab=admins', button: 'Add a person' },
  token: { hash: '#/account?tab=tokens', button: 'New token' },
  menu: { hash: '#/', button: 'alice', menu: true },
}

async function describe(page) {
  await page.getByLabel('Description').fill('another')
}

/** Somebody else saves while the form is open. */
async function conflict(page, examine) {
  await page.goto(`${DASHBOARD}/#/services/blog?tab=form`)
  await page.getByLabel('Description').fill('mine')
  const { version, body } = (await api.call('GET', '/services/blog')).item
  await api.call('PUT', '/services/blog', { body: { ...body, description: `theirs after ${version}` }, version })
  await page.getByRole('button', { name: 'Review and save', exact: true }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Publish', exact: true }).click()
  await page.getByRole('heading', { name: 'Somebody else was faster' }).waitFor()
  await examine('conflict')
}

/** A new secret, which is shown once. */
async function secret(page, examine) {
  await page.goto(`${DASHBOARD}/#/tenants/mobile`)
  const rotate = page.getByRole('button', { name: 'New secret', exact: true })
  await rotate.click()
  await page.getByRole('dialog').getByRole('button', { name: 'New secret', exact: true }).click()
  await page.getByRole('heading', { name: 'Secret of mobile' }).waitFor()
  await examine('secret-once')
}

for (const look of [
  { theme: 'light', viewport: { width: 1360, height: 800 } },
  { theme: 'dark', viewport: { width: 390, height: 844 } },
]) {
  const context = await enter(browser, api, look)
  const page = await context.newPage()
  page.setDefaultTimeout(PATIENCE)
  page.on('dialog', (dialog) => dialog.accept())
  const wrong = await watch(page, [409])
  const fail = (name, what) => failures.push(`${look.theme} ${name}: ${what}`)
  const examine = async (name) => {
    for (const finding of await findings(page)) {
      fail(name, `${finding.id} (${finding.impact})\n    ${finding.nodes.join('\n    ')}`)
    }
    if ((await overflow(page)) > 0) fail(name, 'scrolls sideways')
    await page.screenshot({ path: join(folder, `${name}-${look.theme}.png`) })
  }
  for (const [name, { hash, before, button, menu }] of Object.entries(DIALOGS)) {
    try {
      await page.goto(`${DASHBOARD}/${hash}`)
      await before?.(page)
      const opener = page.getByRole('button', { name: button, exact: !menu }).first()
      await opener.click()
      const opened = page.getByRole(menu ? 'menu' : 'dialog')
      await opened.waitFor()
      await examine(name)
      const inside = () => opened.evaluate((element) => element.contains(document.activeElement))
      if (!(await inside())) fail(name, 'the focus stays outside')
      for (let press = 0; !menu && press < 30; press++) {
        await page.keyboard.press(press % 2 ? 'Shift+Tab' : 'Tab')
        await page.keyboard.press('Tab')
        // Between the last and the first there is the browser's own frame, for which the body stands.
        const outside = await opened.evaluate(
          (element) => document.activeElement !== document.body && !element.contains(document.activeElement),
        )
        if (outside) {
          fail(name, `Tab leaves it: ${await page.evaluate(() => document.activeElement.outerHTML.slice(0, 100))}`)
          break
        }
      }
      await page.keyboard.press('Escape')
      await opened.waitFor({ state: 'detached' })
      await eventually('the focus comes back', () => opener.evaluate((element) => element === document.activeElement))
    } catch (error) {
      await page.screenshot({ path: join(folder, `failed-${name}-${look.theme}.png`) }).catch(() => undefined)
      fail(name, error.message)
    }
  }
  await conflict(page, examine)
  await secret(page, examine)
  failures.push(...wrong.map((what) => `${look.theme}: ${what}`))
  await context.close()
}
await browser.close()

if (failures.length > 0) {
  console.error(`${failures.length} failures\n${failures.join('\n')}`)
  process.exit(1)
}
console.log(`${Object.keys(DIALOGS).length + 2} dialogs and menus: nothing wrong`)
