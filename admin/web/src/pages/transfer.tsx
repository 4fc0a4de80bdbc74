// The whole configuration as a file: out, and in with a look at what it would change first.

import { useState } from 'preact/hooks'
import { t, told } from '../i18n'
import { type ApiError, api, may } from '../lib/api'
import { loadStatus, notify } from '../lib/state'
import type { ImportReport } from '../lib/types'
import { Badge, Button, Callout, Card, errorText, Failure, Field, PageHead } from '../ui/basics'

export function Page() {
  return (
    <>
      <PageHead title={t('transfer.title')} back={{ href: '#/revisions', label: t('nav.revisions') }} />
      <Export />
      {may('operator') && <Import />}
    </>
  )
}

function Export() {
  const [busy, setBusy] = useState(false)
  const save = async () => {
    setBusy(true)
    try {
      const file = new Blob([await api.text('/export')], { type: 'application/toml' })
      const link = document.createElement('a')
      link.href = URL.createObjectURL(file)
      link.download = 'coregate.toml'
      link.click()
      setTimeout(() => URL.revokeObjectURL(link.href), 1000)
    } catch (error) {
      notify(errorText(error as ApiError), 'bad')
    }
    setBusy(false)
  }
  return (
    <Card title={t('transfer.export')} about={t('transfer.export_about')}>
      <p class="buttons">
        <Button icon="download" busy={busy} onClick={save}>
          {t('transfer.download')}
        </Button>
      </p>
    </Card>
  )
}

function Import() {
  const [toml, setToml] = useState('')
  const [message, setMessage] = useState('')
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<ApiError | null>(null)
  const [report, setReport] = useState<ImportReport | null>(null)
  const run = async (dry_run: boolean) => {
    setBusy(true)
    setError(null)
    try {
      const next = await api.post<ImportReport>('/import', { toml, dry_run, message })
      setReport(next)
      if (!dry_run) {
        notify(t('transfer.imported', { n: next.changes.length }))
        setToml('')
        await loadStatus()
      }
    } catch (cause) {
      setError(cause as ApiError)
      setReport(null)
    }
    setBusy(false)
  }
  return (
    <Card title={t('transfer.import')} about={t('transfer.import_about')}>
      <Failure error={error} />
      {error && error.problems.length > 0 && (
        <ul class="plain-list problem-list">
          {error.problems.map((problem, i) => (
            <li key={i}>
              <code>{problem.key}</code> {told(problem.message)}
            </li>
          ))}
        </ul>
      )}
      <div class="fields">
        <Field label={t('transfer.file')}>
          {(ids) => (
            <input
              {...ids}
              type="file"
              accept=".toml,.txt"
              onChange={async (event) => {
                const file = event.currentTarget.files?.[0]
                if (file) setToml(await file.text())
                setReport(null)
              }}
            />
          )}
        </Field>
        <Field label={t('save.message')} optional>
          {(ids) => (
            <input {...ids} type="text" value={message} onInput={(event) => setMessage(event.currentTarget.value)} />
          )}
        </Field>
        <Field label="TOML" wide>
          {(ids) => (
            <textarea
              {...ids}
              rows={10}
              class="code"
              spellcheck={false}
              value={toml}
              placeholder={'[[services]]\nname = "orders"\n…'}
              onInput={(event) => {
                setToml(event.currentTarget.value)
                setReport(null)
              }}
            />
          )}
        </Field>
      </div>
      {report && <Report report={report} />}
      <p class="buttons">
        <Button busy={busy} disabled={!toml.trim()} onClick={() => run(true)}>
          {t('transfer.look')}
        </Button>
        <Button
          look="primary"
          busy={busy}
          disabled={!report || report.revision !== null || report.changes.length === 0}
          onClick={() => run(false)}
        >
          {t('transfer.import')}
        </Button>
      </p>
    </Card>
  )
}

function Report({ report }: { report: ImportReport }) {
  return (
    <div role="status" class="report">
      <Callout tone={report.revision !== null ? 'good' : 'neutral'}>
        {report.changes.length === 0 ? t('diff.none') : t('transfer.would_change', { n: report.changes.length })}
      </Callout>
      {report.warnings.length > 0 && (
        <Callout tone="warn" title={t('transfer.warnings', { n: report.warnings.length })}>
          <ul class="plain-list">
            {report.warnings.map((warning, i) => (
              <li key={i}>
                <code>{told(warning.where)}</code> {told(warning.message)}
              </li>
            ))}
          </ul>
        </Callout>
      )}
      <ul class="plain-list">
        {report.changes.slice(0, 50).map((change) => (
          <li key={`${change.kind}/${change.name}`}>
            <span class="muted">{t(`kind.${change.kind}`)}</span> {change.name}{' '}
            {change.action && <Badge>{t(`action.${change.action as 'create'}`)}</Badge>}
          </li>
        ))}
        {report.changes.length > 50 && <li>{t('and_more', { n: report.changes.length - 50 })}</li>}
      </ul>
    </div>
  )
}
