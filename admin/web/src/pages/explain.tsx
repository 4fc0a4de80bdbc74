// What would become of a request, step by step, under the configuration in force, an older one or the draft.

import { useState } from 'preact/hooks'
import { locale, t, told, word } from '../i18n'
import { type ApiError, api } from '../lib/api'
import { percent } from '../lib/format'
import { absolute, routeText } from '../lib/requests'
import { href } from '../lib/router'
import { status } from '../lib/state'
import type { Explanation } from '../lib/types'
import { Badge, Button, Card, Failure, Field, fieldErrors, PageHead, State } from '../ui/basics'
import { Icon } from '../ui/icon'

/** Keys of the request whose fields say what is wrong with them. */
const PLACED = ['url', 'client']

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS']

export function Page() {
  const [method, setMethod] = useState('GET')
  const [url, setUrl] = useState('')
  const [client, setClient] = useState('')
  const [headers, setHeaders] = useState('')
  const [tenant, setTenant] = useState('')
  const [under, setUnder] = useState('')
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<ApiError | null>(null)
  const [result, setResult] = useState<Explanation | null>(null)
  const ask = async (event: Event) => {
    event.preventDefault()
    setBusy(true)
    setError(null)
    try {
      setResult(
        await api.post<Explanation>('/explain', {
          method,
          url: absolute(url.trim()),
          client: client.trim() || '127.0.0.1',
          headers: parseHeaders(headers),
          tenant: tenant.trim() || undefined,
          draft: under === 'draft' || undefined,
          revision: under !== '' && under !== 'draft' ? Number(under) : undefined,
        }),
      )
    } catch (cause) {
      setError(cause as ApiError)
      setResult(null)
    }
    setBusy(false)
  }
  const problem = (key: string) => fieldErrors(error, key)
  return (
    <>
      <PageHead title={t('nav.explain')} about={t('explain.about')} />
      <Card>
        <form onSubmit={ask} class="fields explain-form">
          <div class="wide request-line">
            <Field label={t('explain.method')}>
              {(ids) => (
                <select {...ids} value={method} onChange={(event) => setMethod(event.currentTarget.value)}>
                  {METHODS.map((name) => (
                    <option key={name}>{name}</option>
                  ))}
                </select>
              )}
            </Field>
            <Field label={t('explain.url')} errors={problem('url')}>
              {(ids) => (
                <input
                  {...ids}
                  type="text"
                  inputMode="url"
                  required
                  spellcheck={false}
                  value={url}
                  placeholder="http://api.example.com/orders/7"
                  onInput={(event) => setUrl(event.currentTarget.value)}
                />
              )}
            </Field>
          </div>
          <Field label={t('explain.client')} errors={problem('client')}>
            {(ids) => (
              <input
                {...ids}
                type="text"
                spellcheck={false}
                value={client}
                placeholder="127.0.0.1"
                onInput={(event) => setClient(event.currentTarget.value)}
              />
            )}
          </Field>
          <Field label={t('explain.tenant')} optional help={t('explain.tenant_help')}>
            {(ids) => (
              <input
                {...ids}
                type="text"
                spellcheck={false}
                value={tenant}
                onInput={(event) => setTenant(event.currentTarget.value)}
              />
            )}
          </Field>
          <Field label={t('explain.under')}>
            {(ids) => (
              <select {...ids} value={under} onChange={(event) => setUnder(event.currentTarget.value)}>
                <option value="">{t('explain.in_force')}</option>
                {(status.value?.draft_changes ?? 0) > 0 && <option value="draft">{t('draft.title')}</option>}
                {Array.from({ length: Math.min(50, (status.value?.revision ?? 1) - 1) }, (_, i) =>
                  String((status.value?.revision ?? 1) - 1 - i),
                ).map((id) => (
                  <option key={id} value={id}>
                    {t('revision_n', { id })}
                  </option>
                ))}
              </select>
            )}
          </Field>
          <Field label={t('explain.headers')} optional wide>
            {(ids) => (
              <textarea
                {...ids}
                rows={2}
                class="code"
                spellcheck={false}
                value={headers}
                placeholder="authorization: Basic …"
                onInput={(event) => setHeaders(event.currentTarget.value)}
              />
            )}
          </Field>
          <div class="wide buttons">
            <Button type="submit" look="primary" busy={busy} disabled={url.trim() === ''}>
              {t('explain.ask')}
            </Button>
          </div>
        </form>
      </Card>
      {error && !error.problems.some((p) => PLACED.includes(p.key)) && <Failure error={error} />}
      {result && <Result result={result} />}
    </>
  )
}

export function parseHeaders(text: string): [string, string][] | undefined {
  const headers: [string, string][] = []
  for (const line of text.split('\n')) {
    const at = line.indexOf(':')
    if (at > 0) headers.push([line.slice(0, at).trim().toLowerCase(), line.slice(at + 1).trim()])
  }
  return headers.length > 0 ? headers : undefined
}

function Result({ result }: { result: Explanation }) {
  const good = result.outcome === 'forwarded'
  return (
    <div role="status">
      <Card
        title={t('explain.result')}
        actions={
          <Badge tone={good ? 'good' : result.outcome === 'refused' ? 'bad' : 'neutral'}>
            {word('outcome', result.outcome)}
          </Badge>
        }
      >
        <p>{told(result.why)}</p>
        {result.service && (
          <p>
            {t('kind.service')} <a href={href(['services', result.service])}>{result.service}</a>
            {result.route && <span class="code muted"> {routeText(result.route)}</span>}
            {result.path_upstream && <span class="code"> → {result.path_upstream}</span>}
          </p>
        )}
        <ol class="steps">
          {result.steps.map((step, i) => (
            <li key={i} class={step.verdict}>
              <Icon
                name={step.verdict === 'passed' ? 'check' : step.verdict === 'refused' ? 'close' : 'right'}
                size={16}
              />
              <div>
                <strong>{word('stage', step.stage)}</strong>
                <span class="muted"> {word('verdict', step.verdict)}</span>
                <p>{told(step.why)}</p>
              </div>
            </li>
          ))}
        </ol>
        {result.balancing && <p class="muted">{word('policy', result.balancing)}</p>}
        {result.nodes.length > 0 && (
          <>
            <h3>{t('form.nodes')}</h3>
            <ul class="plain-list">
              {result.nodes.map((node, i) => (
                <li key={i}>
                  <NodeLine node={node} />
                </li>
              ))}
            </ul>
          </>
        )}
      </Card>
    </div>
  )
}

function NodeLine({ node }: { node: Explanation['nodes'][number] }) {
  return (
    <>
      <State tone={node.live ? 'good' : 'bad'}>{t(node.live ? 'node.up' : 'node.down')}</State>{' '}
      <span class="code">{node.address}</span>{' '}
      <span class="muted figures">{percent(node.share, locale.value.tag)}</span>
    </>
  )
}
