// Every page, in light and dark, in English and Chinese, on a desk and on a phone: nothing may go wrong on any of them, and
// a screenshot of each is kept. Environment: DASHBOARD (URL), SCREENSHOTS (folder), SETUP_LINK and NODE of an admin with
// nothing in it; without SETUP_LINK the made-up admin of `npm run dev` is looked at.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { Api } from './api.mjs'
import { launch } from './browser.mjs'
import { findings, overflow, watch } from './watch.mjs'

const { DASHBOARD, SETUP_LINK, NODE, SCREENSHOTS: folder = 'screenshots' } = process.env
mkdirSync(folder, { recursive: true })
const PASSWORD = 'a long enough password'

/** Something on every page. */
async function furnish() {
  const api = new Api(DASHBOARD)
  await api.setUp(SETUP_LINK, 'alice', PASSWORD)
  const create = (list, body) => api.call('POST', `/${list}`, { body, message: `the first of ${list}` })
  await create('services', {
    name: 'orders',
    description: 'Orders and their states',
    routes: [
      {
        hosts: ['orders.test', '*.orders.test'],
        path_prefix: '/v1',
        rewrites: [{ pattern: '^/x', replacement: '/y' }],
      },
    ],
    nodes: [{ address: NODE }, { address: '127.0.0.1:1', weight: 2 }],
    health_check: { kind: 'http', path: '/healthz', interval: '1s', timeout: '500ms' },
    headers: { request: [{ set: 'x-from', value: 'coregate' }, { remove: 'x-debug' }] },
    limits: { requests_per_second: 500, per_client_ip: { requests_per_second: 50 } },
    timeouts: { connect: '2s' },
    access: { deny: ['192.0.2.0/24'] },
  })
  await create('listeners', { name: 'public', address: '127.0.0.1:0' })
  await create('tenants', { app_id: 'mobile', name: 'Mobile application', requests_per_day: 1_000_000 })
  await api.call('PUT', '/services/orders', {
    body: { name: 'orders', routes: [{ hosts: ['orders.test'] }], nodes: [{ address: NODE }] },
    version: (await api.call('GET', '/services/orders')).item.version,
    draft: true,
  })
}
if (SETUP_LINK) await furnish()

const PAGES = {
  overview: '#/',
  services: '#/services',
  service: `#/services/orders`,
  'service-form': `#/services/orders?tab=form`,
  'service-new': '#/services?new=1',
  tenants: '#/tenants',
  'tenant-form': `#/tenants/mobile?tab=form`,
  tenant: `#/tenants/mobile`,
  listeners: '#/listeners',
  listener: `#/listeners/public`,
  certificates: '#/certificates',
  'certificate-new': '#/certificates?new=1',
  instances: '#/instances',
  revisions: '#/revisions',
  revision: `#/revisions/1`,
  draft: '#/draft',
  explain: '#/explain',
  audit: '#/audit',
  account: '#/account',
  people: '#/account?tab=admins',
  tokens: '#/account?tab=tokens',
  transfer: '#/transfer',
  nowhere: '#/nowhere',
}
const DESK = { width: 1360, height: 800 }
const PHONE = { width: 390, height: 844 }
const LOOKS = [
  { name: 'desk-light-en', viewport: DESK, theme: 'light', language: 'en' },
  { name: 'desk-dark-zh', viewport: DESK, theme: 'dark', language: 'zh' },
  { name: 'phone-dark-en', viewport: PHONE, theme: 'dark', language: 'en' },
  { name: 'phone-light-zh', viewport: PHONE, theme: 'light', language: 'zh' },
]

const failures = []
const browser = await launch()
for (const look of LOOKS) {
  const context = await browser.newContext({ viewport: look.viewport, reducedMotion: 'reduce', locale: 'en-GB' })
  await context.addInitScript(
    ([theme, language]) => {
      localStorage.setItem('coregate.theme', theme)
      localStorage.setItem('coregate.language', language)
    },
    [look.theme, look.language],
  )
  const page = await context.newPage()
  page.on('dialog', (dialog) => dialog.accept())
  const wrong = await watch(page)
  const examine = async (name) => {
    for (const finding of await findings(page)) {
      failures.push(`${look.name} ${name}: ${finding.id} (${finding.impact})\n    ${finding.nodes.join('\n    ')}`)
    }
    const beyond = await overflow(page)
    if (beyond > 0) failures.push(`${look.name} ${name}: scrolls sideways by ${beyond} px`)
    await page.screenshot({ path: join(folder, `${name}-${look.name}.png`) })
  }
  await page.goto(`${DASHBOARD}/#/`)
  await page.locator('input[type=password]').waitFor()
  await examine('login')
  await page.locator('input[name=username]').fill('alice')
  await page.locator('input[type=password]').fill(PASSWORD)
  await page.locator('button[type=submit]').click()
  await page.locator('.stats').waitFor()
  for (const [name, hash] of Object.entries(PAGES)) {
    await page.goto(`${DASHBOARD}/${hash}`)
    await settled(page, hash)
    await examine(name)
  }
  failures.push(...wrong.map((what) => `${look.name}: ${what}`))
  await context.close()
}
await browser.close()

/** The page is there and no spinner is left. */
async function settled(page, hash) {
  await page.waitForFunction((hash) => location.hash === hash, hash)
  await page.locator('main h1, main .empty h2').first().waitFor()
  await page.waitForFunction(() => !document.querySelector('.spinner'))
  await page.evaluate(() => document.fonts.ready)
}

if (failures.length > 0) {
  console.error(`${failures.length} failures\n${failures.join('\n')}`)
  process.exit(1)
}
console.log(`${Object.keys(PAGES).length + 1} pages in ${LOOKS.length} looks: nothing wrong`)
