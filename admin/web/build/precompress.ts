// `X.br` and `X.gz` beside every file of the build, as small as they get: the admin serves them as they are.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'

const WORTH_IT = /\.(html|js|css|svg|json|webmanifest)$/

export function precompress(folder: string): void {
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (!WORTH_IT.test(name)) continue
    const file = join(folder, name)
    const plain = readFileSync(file)
    const quality = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY }
    writeFileSync(`${file}.br`, brotliCompressSync(plain, { params: quality }))
    writeFileSync(`${file}.gz`, gzipSync(plain, { level: 9 }))
  }
}
