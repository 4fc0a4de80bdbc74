// What operators do now and then: the whole configuration out and in, a draft compared with a log, certificates, long lists.
// Environment: SETUP_LINK, DASHBOARD (URL), SCREENSHOTS (folder), CHAIN and KEY (PEM of a certificate for www.test), OTHER_KEY
// (that of another one). Ends with 0, or tells which step failed.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Api } from './api.mjs'
import { launch } from './browser.mjs'
import { enter, expect, PATIENCE, steps } from './steps.mjs'
import { overflow, watch } from './watch.mjs'

const { SETUP_LINK, DASHBOARD, SCREENSHOTS = 'screenshots', CHAIN, KEY, OTHER_KEY } = process.env
const SERVICES = 10_000

const api = new Api(DASHBOARD)
await api.setUp(SETUP_LINK, 'alice', 'a long enough password')
const browser = await launch()
const page = await (await enter(browser, api)).newPage()
// 422: what does not check; 409: what is in use.
const wrong = await watch(page, [409, 422])
const step = steps(page, SCREENSHOTS, 'work', wrong)
const open = (hash) => page.goto(`${DASHBOARD}/${hash}`)
const button = (name) => page.getByRole('button', { name, exact: true })
const dialog = () => page.getByRole('dialog')
const file = (name, text) => ({ name, mimeType: 'text/plain', buffer: Buffer.from(text) })
const service = (name, prefix = '/') =>
  `[[services]]\nname = "${name}"\nroutes = [{ hosts = ["${name}.test"], path_prefix = "${prefix}" }]\nnodes = [{ address = "127.0.0.1:1" }]\n`

await step('every error of a file is told with its line, and nothing is imported', async () => {
  await open('#/transfer')
  await page
    .getByLabel('From a file')
    .setInputFiles(file('bad.toml', `${service('shop')}\n[[services]]\nname = "b b"\nnodez = []\n`))
  await button('See what it would change').click()
  const problems = page.locator('.problem-list')
  await problems.getByText('line 7').first().waitFor()
  await problems.getByText('line 8').first().waitFor()
  expect(await button('Import').isDisabled(), 'it could be imported all the same')
})

await step('a file is looked at first, then it is one revision', async () => {
  await page
    .getByLabel('From a file')
    .setInputFiles(file('good.toml', `[server]\nshards = 1\n${service('shop')}${service('blog')}`))
  await page.getByLabel('Message').fill('from the file')
  await button('See what it would change').click()
  await page.locator('.report').getByText('2 items made or changed').waitFor()
  await page.locator('.report').getByText('[server]').waitFor()
  expect((await api.call('GET', '/services')).total === 0, 'to look changes nothing')
  await button('Import').click()
  await page.getByText('Imported 2 items.').waitFor()
  expect((await api.call('GET', '/revisions')).items[0].message === 'from the file', 'no such revision')
})

await step('what comes out is what went in', async () => {
  const waited = page.waitForEvent('download')
  await button('Download coregate.toml').click()
  const download = await waited
  expect(download.suggestedFilename() === 'coregate.toml', download.suggestedFilename())
  const text = readFileSync(await download.path(), 'utf8')
  expect(text.includes('name = "shop"') && text.includes('name = "blog"'), text)
})

await step('a draft is compared with the lines of a log, in both formats', async () => {
  const version = (await api.call('GET', '/services/shop')).item.version
  const body = {
    name: 'shop',
    routes: [{ hosts: ['shop.test'], path_prefix: '/v2' }],
    nodes: [{ address: '127.0.0.1:1' }],
  }
  await api.call('PUT', '/services/shop', { body, version, draft: true })
  await open('#/draft')
  const line = (path) => `192.0.2.1 - - [26/Nov/2026:02:00:00 +0000] "GET ${path} HTTP/1.1" 200 12 "-" "curl/8"\n`
  await page
    .getByLabel('From a file')
    .setInputFiles(file('access.log', `${line('/v2/a').repeat(3)}${line('/a').repeat(7)}`))
  await page.getByText('10 lines').waitFor()
  await page.getByLabel('Host of these requests').fill('shop.test')
  await button('Compare').click()
  await page.getByText('7 of 10 requests would fare differently').waitFor()
  await page.locator('.comparison').getByText('× 7').waitFor()
  await button('Leave access.log out').click()
  const json = JSON.stringify({ client: '192.0.2.1', method: 'GET', target: '/v2/b', host: 'shop.test', status: 200 })
  await page.getByLabel('From a file').setInputFiles(file('access.json', `${json}\nnonsense\n`))
  await button('Compare').click()
  await page.getByText('All 1 requests would fare as now. 1 line was not understood').waitFor()
  expect((await page.getByLabel('Host of these requests').count()) === 0, 'these lines say their host')
})

await step('a draft is thrown away', async () => {
  await button('Discard').click()
  await page.getByText('Your draft is empty').waitFor()
  expect((await api.call('GET', '/draft')).changes.length === 0, 'it is still there')
})

await step('a key that does not fit is told beside its field', async () => {
  await open('#/certificates?new=1')
  await page.getByLabel('Name').fill('www')
  await page.getByLabel('From files').setInputFiles([file('chain.pem', CHAIN), file('other.key', OTHER_KEY)])
  await button('Upload a certificate').click()
  await page.locator('.field', { hasText: 'Private key' }).locator('.field-error').waitFor()
})

await step('a certificate is uploaded out of one file, and its key never comes back', async () => {
  await page.getByLabel('From files').setInputFiles(file('both.pem', `${CHAIN}\n${KEY}`))
  await button('Upload a certificate').click()
  await page.getByRole('heading', { name: 'www', exact: true }).waitFor()
  await page.locator('.facts').getByText('www.test').waitFor()
  await page
    .locator('.page-title')
    .getByText(/\d+ days/)
    .waitFor()
  const secret = KEY.split('\n')[1]
  expect(!(await page.content()).includes(secret), 'the key is on the page')
  await button('Replace').click()
  expect((await page.getByLabel('Private key').inputValue()) === '', 'the key is in the form')
})

await step('one that a listener presents is not deleted', async () => {
  const listener = { name: 'public', address: '127.0.0.1:0', protocol: 'https', certificates: [{ certificate: 'www' }] }
  await api.call('POST', '/listeners', { body: listener })
  await open('#/certificates/www')
  await page.locator('.facts').getByRole('link', { name: 'public' }).waitFor()
  await button('Delete').click()
  await dialog().getByRole('button', { name: 'Delete', exact: true }).click()
  await dialog().getByText('is used by listener "public"').waitFor()
  await page.keyboard.press('Escape')
  await api.call('GET', '/certificates/www')
})

await step('ten thousand services are a page at a time, and one of them is found', async () => {
  const toml = Array.from({ length: SERVICES }, (_, i) => service(`s-${String(i).padStart(5, '0')}`)).join('')
  await api.call('POST', '/import', { toml })
  await open('#/services')
  await page.getByText('10,002').first().waitFor()
  const rows = page.locator('main tbody tr')
  expect((await rows.count()) === 25, `${await rows.count()} rows`)
  await button('Next').click()
  await page.getByText('2 of 401').waitFor()
  await page.getByRole('searchbox').fill('s-07777.test')
  await page.getByRole('link', { name: 's-07777' }).click()
  await page.getByRole('heading', { name: 's-07777' }).waitFor()
  expect((await page.locator('*').count()) < 2000, 'the page is long')
})

await step('what is typed the moment a form is there stays', async () => {
  await page.evaluate(() => {
    new MutationObserver((_, observer) => {
      const input = document.querySelector('.editor-main input[type=text]')
      if (!input) return
      observer.disconnect()
      input.value = 'early'
      input.dispatchEvent(new InputEvent('input', { bubbles: true }))
    }).observe(document.body, { childList: true, subtree: true })
  })
  await open('#/tenants?new=1')
  await page.locator('.save-box').getByText('unsaved').waitFor()
  expect((await page.getByLabel('App id').inputValue()) === 'early', 'it is gone')
  await button('Undo all').click()
})

await step('in Chinese what a check and a refusal say is in Chinese', async () => {
  const context = await enter(browser, api, { language: 'zh' })
  const chinese = await context.newPage()
  const bad = await watch(chinese, [422])
  await chinese.goto(`${DASHBOARD}/#/explain`)
  await chinese.getByLabel('URL').fill('http://[::1/')
  await chinese.getByRole('button', { name: '分析', exact: true }).click()
  await chinese.locator('.field-error', { hasText: '主机的方括号没有闭合' }).waitFor({ timeout: PATIENCE })
  await chinese.goto(`${DASHBOARD}/#/services?new=1`)
  await chinese.locator('.editor-main input[type=text]').first().fill('a b')
  await chinese.getByText('只能由 A-Z a-z 0-9 _ . - 组成').waitFor({ timeout: PATIENCE })
  await context.close()
  wrong.push(...bad)
})

await step('on a phone nothing of it scrolls sideways', async () => {
  await page.setViewportSize({ width: 390, height: 844 })
  for (const hash of ['#/transfer', '#/draft', '#/certificates/www', '#/certificates?new=1', '#/services?page=400']) {
    await open(hash)
    await page.locator('main h1, main .empty h2').first().waitFor()
    expect((await overflow(page)) === 0, `${hash} scrolls by ${await overflow(page)} px`)
    await page.screenshot({ path: join(SCREENSHOTS, `phone-${hash.replaceAll(/\W/g, '')}.png`) })
  }
})

await step('nothing went wrong on the way', () => expect(wrong.length === 0, wrong.join('\n')))
await browser.close()
