// Looks at pages while they are drawn: node e2e/shots.mjs FOLDER [page...] against `npm run dev` (or DASHBOARD=URL).

import { mkdirSync } from 'node:fs'
import { launch } from './browser.mjs'

const base = process.env.DASHBOARD ?? 'http://127.0.0.1:5173'
const [folder = '/tmp/shots', ...wanted] = process.argv.slice(2)
mkdirSync(folder, { recursive: true })
const PAGES = {
  overview: '#/',
  services: '#/services',
  service: '#/services/orders',
  form: '#/services/orders?tab=form',
  create: '#/services?new=1',
  tenants: '#/tenants',
  tenant: '#/tenants/mobile?tab=form',
  listeners: '#/listeners',
  listener: '#/listeners/public-tls',
  certificates: '#/certificates',
  upload: '#/certificates?new=1',
  instances: '#/instances',
  revisions: '#/revisions',
  revision: '#/revisions/40',
  draft: '#/draft',
  explain: '#/explain',
  audit: '#/audit',
  account: '#/account',
  people: '#/account?tab=admins',
  transfer: '#/transfer',
}
const VARIANTS = {
  light: { width: 1360, height: 800, theme: 'light', language: 'en' },
  dark: { width: 1360, height: 800, theme: 'dark', language: 'en' },
  phone: { width: 390, height: 844, theme: 'light', language: 'en' },
  zh: { width: 1360, height: 800, theme: 'light', language: 'zh' },
}
const variants = (process.env.VARIANTS ?? 'light').split(',')
const browser = await launch()
for (const variant of variants) {
  const { width, height, theme, language } = VARIANTS[variant]
  const page = await browser.newPage({ viewport: { width, height }, reducedMotion: 'reduce' })
  page.on('console', (message) => message.type() === 'error' && console.log(variant, message.text()))
  page.on('pageerror', (error) => console.log(variant, 'page error', error.message))
  page.on('dialog', (dialog) => dialog.accept())
  await page.addInitScript(
    ([theme, language]) => {
      localStorage.setItem('coregate.theme', theme)
      localStorage.setItem('coregate.language', language)
      localStorage.setItem('coregate.known', '1')
    },
    [theme, language],
  )
  for (const [name, hash] of Object.entries(PAGES)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue
    await page.goto(`${base}/${hash}`)
    await page.waitForTimeout(name === 'overview' ? 2500 : 700)
    await page.screenshot({ path: `${folder}/${name}-${variant}.png`, fullPage: process.env.FULL === '1' })
  }
  await page.close()
}
await browser.close()
