// Certificates: uploaded once, used by name; the key is encrypted at rest and never comes out again.

import { useState } from 'preact/hooks'
import { DeleteButton } from '../form/delete'
import { actor, locale, t, told } from '../i18n'
import { ApiError, api, may, seg } from '../lib/api'
import { date } from '../lib/format'
import { useList } from '../lib/list'
import { useLoad } from '../lib/load'
import { go, href, route } from '../lib/router'
import { loadStatus, notify, revisionSeen } from '../lib/state'
import type { CertificateSummary, Detail, Saved } from '../lib/types'
import {
  Ago,
  Button,
  Callout,
  Card,
  Empty,
  Failure,
  Field,
  fieldErrors,
  LinkButton,
  PageHead,
  Spinner,
  State,
} from '../ui/basics'
import { Pager, Search, Table } from '../ui/table'
import { ListenerTabs } from './listeners'

export function Page({ rest }: { rest: string[] }) {
  const [name] = rest
  if (name === undefined) return route.value.query.has('new') ? <Upload /> : <List />
  return <One key={name} name={name} />
}

function Expiry({ days }: { days: number }) {
  if (days < 0) return <State tone="bad">{t('certificates.expired')}</State>
  const tone = days < 14 ? 'bad' : days < 30 ? 'warn' : 'good'
  return <State tone={tone}>{t('certificates.days', { n: days })}</State>
}

const PER_PAGE = 50

function List() {
  const certificates = useList<CertificateSummary>('certificates', PER_PAGE)
  const { list } = certificates
  const create = may('operator') && (
    <LinkButton href="#/certificates?new=1" look="primary" icon="upload">
      {t('certificates.upload')}
    </LinkButton>
  )
  return (
    <>
      <PageHead title={t('certificates.title')} actions={create || undefined} />
      <ListenerTabs current="certificates" />
      <Failure error={certificates.error} retry={certificates.reload} />
      {!list && !certificates.error && <Spinner />}
      {list && list.total === 0 && certificates.whole && (
        <Empty icon="lock" title={t('certificates.empty')} action={create}>
          {t('certificates.empty_text')}
        </Empty>
      )}
      {list && (list.total > PER_PAGE || !certificates.whole) && (
        <div class="toolbar">
          <Search {...certificates.search} label={t('certificates.search')} />
        </div>
      )}
      {list && list.total === 0 && !certificates.whole && (
        <Empty icon="search" title={t('search.none')}>
          {t('search.none_text')}
        </Empty>
      )}
      {list && list.items.length > 0 && (
        <Table
          caption={t('certificates.title')}
          rows={list.items}
          rowKey={(row) => row.name}
          href={(row) => href(['certificates', row.name])}
          columns={[
            { id: 'name', head: t('col.name'), cell: (row) => row.name },
            {
              id: 'names',
              head: t('certificates.names'),
              cell: (row) => <span class="code">{row.names.join(', ')}</span>,
            },
            { id: 'left', head: t('certificates.expires'), cell: (row) => <Expiry days={row.days_left} /> },
            { id: 'issuer', head: t('certificates.issuer'), minor: true, cell: (row) => row.issuer },
            { id: 'used', head: t('certificates.used'), minor: true, cell: (row) => row.used_by.join(', ') },
          ]}
        />
      )}
      {list && list.total > PER_PAGE && <Pager {...certificates.pager} />}
    </>
  )
}

function Upload() {
  return (
    <>
      <PageHead
        title={t('certificates.new')}
        back={{ href: '#/certificates', label: t('certificates.title') }}
        about={t('certificates.new_about')}
      />
      <Card title={t('certificates.files')}>
        <PemForm name={null} version={null} onSaved={(name) => go(href(['certificates', name]))} />
      </Card>
    </>
  )
}

/** Chain and key, pasted or from files. One file with both is cut in two. */
function PemForm({
  name,
  version,
  onSaved,
}: {
  name: string | null
  version: number | null
  onSaved: (name: string) => void
}) {
  const [own, setOwn] = useState(name ?? '')
  const [chain, setChain] = useState('')
  const [key, setKey] = useState('')
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<ApiError | null>(null)
  const problem = (field: string) => fieldErrors(error, field)
  const placed = ['name', 'chain', 'key']
  const put = (text: string) => {
    const found = splitPem(text)
    if (found.chain) setChain(found.chain)
    if (found.key) setKey(found.key)
  }
  const save = async (event: Event) => {
    event.preventDefault()
    setBusy(true)
    setError(null)
    try {
      const request = { body: { name: own, chain, key }, version: version ?? undefined }
      await (name === null
        ? api.post<Saved>('/certificates', request)
        : api.put<Saved>(`/certificates/${seg(name)}`, request))
      loadStatus().catch(() => undefined)
      notify(t('save.published', { name: own }))
      onSaved(own)
    } catch (cause) {
      setError(cause instanceof ApiError ? cause : new ApiError(0, 'unexpected', String(cause)))
    } finally {
      setBusy(false)
    }
  }
  const elsewhere = (error?.problems ?? []).filter((p) => !placed.includes(p.key))
  return (
    <form class="fields" onSubmit={save} noValidate>
      {error && (error.problems.length === 0 || elsewhere.length > 0) && (
        <div class="wide">
          {elsewhere.length > 0 ? (
            <Callout tone="bad">{elsewhere.map((p) => told(p.message)).join(' ')}</Callout>
          ) : (
            <Failure error={error} />
          )}
        </div>
      )}
      {name === null && (
        <Field label={t('col.name')} errors={problem('name')}>
          {(ids) => (
            <input
              {...ids}
              type="text"
              value={own}
              spellcheck={false}
              placeholder="example.com"
              onInput={(event) => setOwn(event.currentTarget.value)}
            />
          )}
        </Field>
      )}
      <Field label={t('certificates.from_files')} help={t('certificates.from_files_help')}>
        {(ids) => (
          <input
            {...ids}
            type="file"
            multiple
            accept=".pem,.crt,.cer,.key,.txt"
            onChange={async (event) => {
              for (const file of event.currentTarget.files ?? []) put(await file.text())
            }}
          />
        )}
      </Field>
      <Field label={t('certificates.chain')} wide errors={problem('chain')} help={t('certificates.chain_help')}>
        {(ids) => (
          <textarea
            {...ids}
            rows={7}
            class="code"
            spellcheck={false}
            value={chain}
            placeholder="-----BEGIN CERTIFICATE-----"
            onInput={(event) => setChain(event.currentTarget.value)}
          />
        )}
      </Field>
      <Field label={t('certificates.key')} wide errors={problem('key')} help={t('certificates.key_help')}>
        {(ids) => (
          <textarea
            {...ids}
            rows={4}
            class="code secret"
            spellcheck={false}
            autocomplete="off"
            value={key}
            placeholder="-----BEGIN PRIVATE KEY-----"
            onInput={(event) => setKey(event.currentTarget.value)}
          />
        )}
      </Field>
      <div class="wide buttons">
        <Button type="submit" look="primary" busy={busy} disabled={!own || !chain || !key}>
          {name === null ? t('certificates.upload') : t('certificates.replace')}
        </Button>
      </div>
    </form>
  )
}

export function splitPem(text: string): { chain: string; key: string } {
  const blocks = text.match(/-----BEGIN ([A-Z0-9 ]+)-----[\s\S]+?-----END \1-----/g) ?? []
  const join = (list: string[]) => (list.length > 0 ? `${list.join('\n')}\n` : '')
  return {
    chain: join(blocks.filter((block) => block.startsWith('-----BEGIN CERTIFICATE'))),
    key: join(blocks.filter((block) => block.includes('PRIVATE KEY-----'))),
  }
}

function One({ name }: { name: string }) {
  const loaded = useLoad(
    (stop) => api.get<Detail & CertificateSummary>(`/certificates/${seg(name)}`, {}, stop),
    [name, revisionSeen.value],
  )
  const [replacing, setReplacing] = useState(false)
  const back = { href: '#/certificates', label: t('certificates.title') }
  if (!loaded.data) {
    return loaded.error ? (
      <>
        <PageHead title={name} back={back} />
        <Failure error={loaded.error} retry={loaded.reload} />
      </>
    ) : (
      <Spinner />
    )
  }
  const detail = loaded.data
  const used = detail.used_by
  return (
    <>
      <PageHead
        title={name}
        back={back}
        badges={<Expiry days={detail.days_left} />}
        actions={
          may('operator') && (
            <>
              <Button icon="upload" onClick={() => setReplacing(!replacing)} aria-expanded={replacing}>
                {t('certificates.replace')}
              </Button>
              <DeleteButton
                kind="certificate"
                name={name}
                version={detail.item.version}
                affects={used.length ? t('certificates.affects', { names: used.join(', ') }) : t('certificates.unused')}
              />
            </>
          )
        }
      />
      {replacing && (
        <Card title={t('certificates.replace')} about={t('certificates.replace_about')}>
          <PemForm
            name={name}
            version={detail.item.version}
            onSaved={() => {
              setReplacing(false)
              loaded.reload()
            }}
          />
        </Card>
      )}
      <Card title={t('certificates.facts')}>
        <dl class="facts">
          <dt>{t('certificates.names')}</dt>
          <dd class="code">{detail.names.join(', ')}</dd>
          <dt>{t('certificates.issuer')}</dt>
          <dd>{detail.issuer}</dd>
          <dt>{t('certificates.valid')}</dt>
          <dd>
            {date(detail.not_before, locale.value)} – {date(detail.not_after, locale.value)}
          </dd>
          <dt>{t('certificates.used')}</dt>
          <dd>
            {used.length === 0
              ? t('certificates.nowhere')
              : used.map((listener, i) => (
                  <>
                    {i > 0 && ', '}
                    <a href={href(['listeners', listener])}>{listener}</a>
                  </>
                ))}
          </dd>
          <dt>{t('col.changed')}</dt>
          <dd>
            <Ago at={detail.changed_at} /> · {actor(detail.changed_by)}
          </dd>
        </dl>
      </Card>
    </>
  )
}
