// What no page may do: break the content security policy, write an error to the console, throw, scroll sideways, or leave
// serious findings for axe-core.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const AXE_SCRIPT = `(() => { const module = undefined; const exports = undefined; ${axe} })()`

/** Collects what goes wrong on a page; the list is empty if nothing did. Answers that a story expects are no errors. */
export async function watch(page, expected = []) {
  const wrong = []
  page.on('pageerror', (error) => wrong.push(`${page.url()}: ${error.stack ?? error.message}`))
  page.on('console', (message) => {
    if (message.type() !== 'error' && message.type() !== 'warning') return
    const text = message.text()
    const status = /responded with a status of (\d+)/.exec(text)?.[1]
    if (status && expected.includes(Number(status))) return
    wrong.push(`${page.url()}: console: ${text} ${message.location().url}`)
  })
  await page.exposeFunction('__violated', (what) => wrong.push(`${page.url()}: policy violated: ${what}`))
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) =>
      window.__violated(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`),
    )
  })
  return wrong
}

/** Serious and critical findings of axe-core. The debugger's channel runs it, so the page's policy stays as it is. */
export async function findings(page) {
  const session = await page.context().newCDPSession(page)
  const run = async (expression) => {
    const answer = await session.send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true })
    if (answer.exceptionDetails) throw new Error(answer.exceptionDetails.exception?.description ?? 'axe-core failed')
    return answer.result.value
  }
  await run(AXE_SCRIPT)
  const text = await run(`axe.run(document, { resultTypes: ['violations'] }).then((result) => JSON.stringify(
    result.violations.map(({ id, impact, nodes }) => ({ id, impact, nodes: nodes.slice(0, 5).map((node) =>
      node.html.slice(0, 160) + ' ' + (node.any[0]?.message ?? node.failureSummary ?? '')) }))))`)
  await session.detach()
  return JSON.parse(text).filter(({ impact }) => impact === 'serious' || impact === 'critical')
}

/** How far a page can be scrolled sideways; 0 = it fits. */
export function overflow(page) {
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
}
