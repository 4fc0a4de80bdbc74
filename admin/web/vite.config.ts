import { defineConfig } from 'vitest/config'
import { precompress } from './build/precompress.ts'

// The admin's own policy, so that `npm run preview` shows what it would block.
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'"

// Everything goes out as files of our own origin: the admin answers with `script-src 'self'; style-src 'self'`, so
// nothing may be inlined. COREGATE_ADMIN=http://127.0.0.1:8880 develops against a real process instead of the mock.
export default defineConfig(() => {
  const admin = process.env.COREGATE_ADMIN
  return {
    base: './',
    plugins: [
      {
        name: 'mock-admin',
        async configureServer(server) {
          if (admin || process.env.VITEST) return
          const { mock } = await import('./dev/mock.ts')
          server.middlewares.use(mock())
        },
        async configurePreviewServer(server) {
          const { mock } = await import('./dev/mock.ts')
          server.middlewares.use(mock())
        },
      },
      { name: 'precompress', apply: 'build', closeBundle: () => precompress('dist') },
    ],
    server: { host: '127.0.0.1', proxy: admin ? { '/api': { target: admin } } : undefined },
    preview: { headers: { 'content-security-policy': POLICY } },
    build: {
      target: 'es2022',
      cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
      cssCodeSplit: true,
      reportCompressedSize: false,
      manifest: true,
    },
    test: { include: ['test/**/*.test.ts'], environment: 'node' },
  }
})
