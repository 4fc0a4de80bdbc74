// What a draft would change for sample requests: typed, or out of an access log.

import { useState } from 'preact/hooks'
import { locale, t, told } from '../i18n'
import { type ApiError, api } from '../lib/api'
import { diff } from '../lib/diff'
import { integer } from '../lib/format'
import { isAccessLog, isWithoutHost, type LogFile, parseRequests, readLog } from '../lib/requests'
import type { Comparison, Outcome, SampleRequest } from '../lib/types'
import { Badge, Button, Callout, Card, Failure, Field, IconButton } from '../ui/basics'
import { DiffList } from '../ui/diff'

export function Compare() {
  const [text, setText] = useState('')
  const [file, setFile] = useState<LogFile | null>(null)
  const [host, setHost] = useState('')
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<ApiError | null>(null)
  const [result, setResult] = useState<Comparison | null>(null)
  const sample = file?.text ?? text
  const choose = (chosen: LogFile | null) => {
    setFile(chosen)
    setResult(null)
  }
  const run = async (event: Event) => {
    event.preventDefault()
    setBusy(true)
    setError(null)
    try {
      const asked = isAccessLog(sample)
        ? { access_log: sample, host: host.trim() || undefined }
        : { requests: parseRequests(sample) }
      setResult(await api.post<Comparison>('/compare', { draft: true, ...asked }))
    } catch (cause) {
      setError(cause as ApiError)
    }
    setBusy(false)
  }
  return (
    <Card title={t('compare.title')} about={t('compare.about')}>
      <form onSubmit={run} class="fields">
        {file ? (
          <div class="field wide chosen-file">
            <span>
              <strong>{file.name}</strong>{' '}
              <span class="muted">
                {t('compare.lines', { n: file.lines })}
                {file.cut && ` · ${t('compare.cut')}`}
              </span>
            </span>
            <IconButton icon="close" label={t('compare.without', { name: file.name })} onClick={() => choose(null)} />
          </div>
        ) : (
          <Field label={t('compare.sample')} wide help={t('compare.help')}>
            {(ids) => (
              <textarea
                {...ids}
                rows={5}
                class="code"
                spellcheck={false}
                value={text}
                placeholder={'GET http://api.example.com/orders/7 192.0.2.10\nPOST http://api.example.com/orders'}
                onInput={(event) => setText(event.currentTarget.value)}
              />
            )}
          </Field>
        )}
        <Field label={t('compare.file')}>
          {(ids) => (
            <input
              {...ids}
              type="file"
              onChange={async (event) => {
                const chosen = event.currentTarget.files?.[0]
                if (chosen) choose(await readLog(chosen))
              }}
            />
          )}
        </Field>
        {isWithoutHost(sample) && (
          <Field label={t('compare.host')} help={t('compare.host_help')}>
            {(ids) => (
              <input
                {...ids}
                type="text"
                value={host}
                spellcheck={false}
                placeholder="api.example.com"
                onInput={(event) => setHost(event.currentTarget.value)}
              />
            )}
          </Field>
        )}
        <div class="wide buttons">
          <Button type="submit" busy={busy} disabled={sample.trim() === ''}>
            {t('compare.run')}
          </Button>
        </div>
      </form>
      <Failure error={error} />
      {result && <Result result={result} />}
    </Card>
  )
}

function Result({ result }: { result: Comparison }) {
  const tag = locale.value.tag
  return (
    <div role="status" class="report">
      <Callout tone={result.differing > 0 ? 'warn' : 'good'}>
        {result.differing > 0
          ? t('compare.differ', { n: integer(result.differing, tag), all: integer(result.compared, tag) })
          : t('compare.same', { all: integer(result.compared, tag) })}
        {result.skipped > 0 && ` ${t('compare.skipped', { n: result.skipped })}`}
      </Callout>
      {result.results.length > 0 && (
        <ul class="comparison">
          {result.results.map((row, i) => {
            const limits = diff(row.before.limits, row.after.limits)
            return (
              <li key={i}>
                <p class="code">
                  {row.request.method} {hostOf(row.request)}
                  {row.request.url}
                  {row.count > 1 && <span class="muted"> × {integer(row.count, tag)}</span>}
                </p>
                <OutcomeLine outcome={row.before} label={t('diff.before')} />
                <OutcomeLine outcome={row.after} label={t('diff.after')} />
                {limits.length > 0 && <DiffList paths={limits} />}
              </li>
            )
          })}
        </ul>
      )}
      {result.truncated && <p class="muted">{t('compare.more')}</p>}
    </div>
  )
}

/** The host of a request whose URL is a path alone. */
function hostOf(request: SampleRequest): string {
  return request.headers?.find(([name]) => name.toLowerCase() === 'host')?.[1] ?? ''
}

function OutcomeLine({ outcome, label }: { outcome: Outcome; label: string }) {
  const tone = outcome.outcome === 'forwarded' ? 'good' : outcome.outcome === 'refused' ? 'bad' : 'neutral'
  return (
    <p class="outcome">
      <span class="muted">{label}</span>
      <Badge tone={tone}>{t(`outcome.${outcome.outcome}`)}</Badge>
      {outcome.status !== null && outcome.outcome !== 'forwarded' && <span class="figures">{outcome.status}</span>}
      {outcome.service && <strong>{outcome.service}</strong>}
      {outcome.tenant && <Badge>{told(outcome.tenant)}</Badge>}
      {outcome.path_upstream && <span class="code">{outcome.path_upstream}</span>}
      <span class="muted">{told(outcome.why)}</span>
    </p>
  )
}
