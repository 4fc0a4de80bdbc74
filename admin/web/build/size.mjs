// How much the first view loads, compressed: index.html, the icon, and what the manifest says the start and the overview
// need in one language. Fails beyond the budget.

import { readFileSync, statSync } from 'node:fs'

const BUDGET = 90 * 1024
const dist = new URL('../dist/', import.meta.url)
const manifest = JSON.parse(readFileSync(new URL('.vite/manifest.json', dist), 'utf8'))
const files = new Set(['index.html', 'icon.svg'])
const add = (key) => {
  const entry = manifest[key]
  if (files.has(entry.file)) return
  files.add(entry.file)
  for (const sheet of entry.css ?? []) files.add(sheet)
  for (const inner of entry.imports ?? []) add(inner)
}
for (const key of ['index.html', 'src/pages/overview.tsx', 'src/i18n/en.ts']) add(key)
const total = [...files].reduce((sum, file) => sum + statSync(new URL(`${file}.br`, dist)).size, 0)
console.log(
  `first view ${(total / 1024).toFixed(1)} KiB compressed in ${files.size} files (budget ${BUDGET / 1024} KiB)`,
)
if (total > BUDGET) process.exit(1)
