// Every page, in light and dark, in English and Chinese, on a desk and on a phone: nothing may go wrong on any of them, and
// a screenshot of each is kept. Environment: DASHBOARD (URL), ADMIN_NAME, ADMIN_PASSWORD, SCREENSHOTS (folder), SERVICE,
// TENANT, LISTENER, REVISION, CERTIFICATE (names of what is there).

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { launch } from './browser.mjs'
import { findings, overflow, watch } from './watch.mjs'

const env = process.env
const folder = env.SCREENSHOTS ?? 'screenshots'
mkdirSync(folder, { recursive: true })

const PAGES = {
  overview: '#/',
  services: '#/services',
  service: `#/services/${env.SERVICE}`,
  'service-form': `#/services/${env.SERVICE}?tab=form`,
  'service-new': '#/services?new=1',
  tenants: '#/tenants',
  'tenant-form': `#/tenants/${env.TENANT}?tab=form`,
  tenant: `#/tenants/${env.TENANT}`,
  listeners: '#/listeners',
  listener: `#/listeners/${env.LISTENER}`,
  certificates: '#/certificates',
  'certificate-new': '#/certificates?new=1',
  ...(env.CERTIFICATE ? { certificate: `#/certificates/${env.CERTIFICATE}` } : {}),
  instances: '#/instances',
  revisions: '#/revisions',
  revision: `#/revisions/${env.REVISION}`,
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
  await page.goto(`${env.DASHBOARD}/#/`)
  await page.locator('input[type=password]').waitFor()
  await examine('login')
  await page.locator('input[name=username]').fill(env.ADMIN_NAME)
  await page.locator('input[type=password]').fill(env.ADMIN_PASSWORD)
  await page.locator('button[type=submit]').click()
  await page.locator('.stats').waitFor()
  for (const [name, hash] of Object.entries(PAGES)) {
    await page.goto(`${env.DASHBOARD}/${hash}`)
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
