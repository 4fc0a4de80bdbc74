// The start: words, theme, who is logged in; then the application.

import './styles/tokens.css'
import './styles/base.css'
import './styles/shell.css'
import './styles/parts.css'
import './styles/tables.css'
import './styles/overview.css'
import './styles/dialogs.css'
import './styles/form.css'
import './styles/narrow.css'
import { render } from 'preact'
import { App } from './app'
import { startLanguage } from './i18n'
import { ApiError, findSession } from './lib/api'
import { startRouter } from './lib/router'
import { startClock, startLive, startTheme } from './lib/state'

startTheme()
startRouter()
startClock()

const start = { failure: null as ApiError | null }
await Promise.all([
  startLanguage(),
  findSession().catch((cause) => {
    start.failure = cause instanceof ApiError ? cause : new ApiError(0, 'unreachable', String(cause))
  }),
])
startLive()
render(<App failure={start.failure} />, document.getElementById('app')!)
