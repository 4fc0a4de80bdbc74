// The steps of a story: the one that fails is named, with a picture of the page and all that went wrong on the way.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'

export const PATIENCE = 20_000

/** `step(what, act)` for a page; pictures go to `folder`, `name` stands before their number. */
export function steps(page, folder, name, wrong) {
  mkdirSync(folder, { recursive: true })
  page.setDefaultTimeout(PATIENCE)
  let number = 0
  return async (what, act) => {
    try {
      await act()
    } catch (error) {
      await page.screenshot({ path: join(folder, 'failed.png'), fullPage: true }).catch(() => undefined)
      console.error(`failed: ${what}\n${error.stack ?? error}\n${wrong.join('\n')}`)
      process.exit(1)
    }
    await page.screenshot({ path: join(folder, `${name}-${String(++number).padStart(2, '0')}.png`) })
    console.log(`ok: ${what}`)
  }
}

/** A browser in which whoever `api` is has logged in. */
export async function enter(browser, api, look = {}) {
  const { theme = 'light', language = 'en', ...more } = look
  const desk = { viewport: { width: 1360, height: 800 }, reducedMotion: 'reduce' }
  const context = await browser.newContext({ ...desk, ...more })
  const at = api.cookie.indexOf('=')
  await context.addCookies([{ name: api.cookie.slice(0, at), value: api.cookie.slice(at + 1), url: api.base }])
  await context.addInitScript(
    ([theme, language]) => {
      localStorage.setItem('coregate.known', '1')
      localStorage.setItem('coregate.theme', theme)
      localStorage.setItem('coregate.language', language)
    },
    [theme, language],
  )
  return context
}

export async function eventually(what, check) {
  const end = Date.now() + PATIENCE
  let last
  do {
    last = await check()
    if (last === true) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  } while (Date.now() < end)
  throw new Error(`not within ${PATIENCE} ms: ${what}; last: ${JSON.stringify(last)}`)
}

/** What is not so stops the story. */
export function expect(fact, what) {
  if (!fact) throw new Error(what)
}
