// The form's sections: tables flattened into fields, lists of tables as cards or rows.

import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import { t, told } from '../i18n'
import type { Body, Json, SchemaKey } from '../lib/types'
import { Button, Card, IconButton, State, Switch } from '../ui/basics'
import { Icon } from '../ui/icon'
import { countBelow, errorsAt, help, label, useForm, valueAt } from './context'
import { KeyField, Prose } from './fields'
import { anySet, type Section, visible } from './layout'
import { find, get, type Path, pathText } from './schema'

const SECTION_TITLES = {
  basics: 'form.basics',
  routes: 'form.routes',
  nodes: 'form.nodes',
  health_check: 'form.health_check',
  limits: 'form.limits',
  access: 'form.access',
  headers: 'form.headers',
  timeouts: 'form.timeouts',
  listener: 'form.listener',
  target: 'form.target',
  certificates: 'form.certificates',
  http2: 'form.http2',
  connections: 'form.connections',
  tenant: 'form.tenant',
  quota: 'form.quota',
  other: 'form.other',
} as const

export const sectionTitle = (id: string) => t(SECTION_TITLES[id as keyof typeof SECTION_TITLES] ?? 'form.other')

export function SectionCard({ section }: { section: Section }) {
  const form = useForm()
  const wrong = section.fields.reduce((sum, field) => sum + countBelow(form.problems, field), 0)
  const [open, setOpen] = useState(!section.quiet || anySet(section, form.body))
  const title = sectionTitle(section.id)
  if (section.quiet && !open && wrong === 0) {
    return (
      <section class="card folded" id={`section-${section.id}`}>
        <button type="button" aria-expanded="false" onClick={() => setOpen(true)}>
          <h2>{title}</h2>
          <span class="muted">{t('form.defaults')}</span>
          <Icon name="chevron" />
        </button>
      </section>
    )
  }
  return (
    <Card title={title} id={`section-${section.id}`}>
      <div class="fields">
        {section.fields.map((field) => (
          <Entry key={field} dotted={field} />
        ))}
      </div>
    </Card>
  )
}

function Entry({ dotted }: { dotted: string }) {
  const form = useForm()
  const path = dotted.split('.')
  const def = find(form.keys, path)
  if (!def) return null
  if (dotted === 'health_check') return <OptionalTable path={path} def={def} />
  return <KeyEntry path={path} def={def} />
}

export function KeyEntry({ path, def }: { path: Path; def: SchemaKey }) {
  const form = useForm()
  const dotted = path.filter((part) => typeof part === 'string').join('.')
  if (!visible(form.kind, dotted, form.body, valueAt(form, path))) return null
  if (def.type === 'table') {
    if (dotted === 'upstream_tls.certificate') return <OptionalTable path={path} def={def} />
    return (
      <Group title={label(form.kind, path)} plain={path.length === 1}>
        {(def.keys ?? []).map((inner) => (
          <KeyEntry key={inner.name} path={[...path, inner.name]} def={inner} />
        ))}
      </Group>
    )
  }
  if (def.type === 'list of tables') {
    if (dotted === 'routes') return <Routes path={path} def={def} />
    if (dotted.startsWith('headers.')) return <HeaderRules path={path} def={def} />
    return <Rows path={path} def={def} />
  }
  return <KeyField path={path} def={def} />
}

function Group({ title, children, plain }: { title: string; children: ComponentChildren; plain?: boolean }) {
  return (
    <fieldset class={`group${plain ? ' plain' : ''}`}>
      <legend>{title}</legend>
      <div class="fields">{children}</div>
    </fieldset>
  )
}

/** A table that switches something on by being there. */
function OptionalTable({ path, def }: { path: Path; def: SchemaKey }) {
  const form = useForm()
  const value = valueAt(form, path)
  const on = value !== undefined && value !== null
  return (
    <div class="optional-table">
      <div class="field toggle">
        <Switch
          label={label(form.kind, path)}
          checked={on}
          disabled={form.readonly}
          onChange={(next) => form.change(path, next ? {} : undefined)}
        />
        <p class="field-help">
          <Prose text={help(form.kind, path, def)} />
        </p>
      </div>
      {on && (
        <div class="fields">
          {(def.keys ?? []).map((inner) => (
            <KeyEntry key={inner.name} path={[...path, inner.name]} def={inner} />
          ))}
        </div>
      )}
    </div>
  )
}

function useList(path: Path) {
  const form = useForm()
  const value = valueAt(form, path)
  const list = (Array.isArray(value) ? value : []) as Json[]
  const put = (next: Json[]) => form.change(path, next.length ? next : undefined)
  return {
    form,
    list,
    add: (element: Body = {}) => put([...list, element]),
    remove: (i: number) => put(list.filter((_, at) => at !== i)),
    move: (i: number, by: number) => {
      const next = [...list]
      const [element] = next.splice(i, 1)
      next.splice(i + by, 0, element!)
      put(next)
    },
  }
}

function ListHead({ path, def }: { path: Path; def: SchemaKey }) {
  const form = useForm()
  const errors = errorsAt(form, path)
  return (
    <div class="list-head">
      {path.length > 1 || form.kind === 'listener' ? <h3>{label(form.kind, path)}</h3> : null}
      <p class="field-help">
        <Prose text={help(form.kind, path, def)} />
      </p>
      {errors.length > 0 && <p class="field-error">{errors.join(' ')}</p>}
    </div>
  )
}

function Routes({ path, def }: { path: Path; def: SchemaKey }) {
  const { form, list, add, remove } = useList(path)
  const keys = def.keys ?? []
  return (
    <div class="wide list">
      <ListHead path={path} def={def} />
      {list.map((_, i) => (
        <div class="element" key={i} role="group" aria-label={t('form.route_n', { n: i + 1 })}>
          <div class="element-head">
            <strong>{t('form.route_n', { n: i + 1 })}</strong>
            {!form.readonly && (
              <IconButton icon="trash" label={t('form.remove_route', { n: i + 1 })} onClick={() => remove(i)} />
            )}
          </div>
          <RowErrors path={[...path, i]} />
          <div class="fields">
            {keys.map((inner) => (
              <KeyEntry key={inner.name} path={[...path, i, inner.name]} def={inner} />
            ))}
          </div>
        </div>
      ))}
      {!form.readonly && (
        <Button icon="plus" onClick={() => add()}>
          {t('form.add_route')}
        </Button>
      )}
    </div>
  )
}

function RowErrors({ path, below }: { path: Path; below?: boolean }) {
  const form = useForm()
  const key = pathText(path)
  const errors = form.problems.filter((p) => p.key === key || (below && p.key.startsWith(`${key}.`)))
  if (errors.length === 0) return null
  return <p class="field-error">{errors.map((p) => told(p.message)).join(' ')}</p>
}

/** Lists whose elements are short: one row each. */
function Rows({ path, def }: { path: Path; def: SchemaKey }) {
  const { form, list, add, remove } = useList(path)
  const dotted = path.filter((part) => typeof part === 'string').join('.')
  const nodes = dotted === 'nodes'
  const all = def.keys ?? []
  const used = all.filter(
    (inner) => !FILE_KEYS.has(`${dotted}.${inner.name}`) || list.some((x) => get(x, [inner.name]) !== undefined),
  )
  const keys = used.length > 0 ? used : all
  const health = nodes && (form.nodes?.length ?? 0) > 0
  return (
    <div class="wide list">
      <ListHead path={path} def={def} />
      {list.length > 0 && (
        <div class={`rows rows-${keys.length}${nodes ? ' nodes' : ''}${health ? ' with-health' : ''}`}>
          <div class="row head" aria-hidden="true">
            {keys.map((inner) => (
              <span key={inner.name}>{label(form.kind, [...path, inner.name])}</span>
            ))}
            {health && <span>{t('node.health')}</span>}
            <span />
          </div>
          {list.map((element, i) => (
            <div class="row-wrap" key={i}>
              <div class="row" role="group" aria-label={`${label(form.kind, path)} ${i + 1}`}>
                {keys.map((inner) => (
                  <KeyField key={inner.name} path={[...path, i, inner.name]} def={inner} bare />
                ))}
                {health && <NodeState address={String(get(element, ['address']) ?? '')} />}
                {form.readonly ? (
                  <span />
                ) : (
                  <IconButton icon="trash" label={t('form.remove_n', { n: i + 1 })} onClick={() => remove(i)} />
                )}
              </div>
              <RowErrors path={[...path, i]} below />
            </div>
          ))}
        </div>
      )}
      {!form.readonly && (
        <Button icon="plus" onClick={() => add()}>
          {nodes ? t('form.add_node') : t('form.add')}
        </Button>
      )}
    </div>
  )
}

/** Paths on the machine of an engine: possible, but an uploaded certificate is what one wants here. */
const FILE_KEYS = new Set(['certificates.chain', 'certificates.key', 'certificates.ocsp'])

function NodeState({ address }: { address: string }) {
  const node = useForm().nodes?.find((candidate) => candidate.address === address)
  if (!node || node.health.length === 0) return <State tone="neutral">{t('node.unknown')}</State>
  const down = node.health.filter((health) => health.state === 'down')
  if (down.length > 0) {
    return (
      <span title={down.map((health) => `${health.instance}: ${told(health.why ?? '')}`).join('\n')}>
        <State tone="bad">{t('node.down')}</State>
      </span>
    )
  }
  const up = node.health.some((health) => health.state === 'up')
  return <State tone={up ? 'good' : 'neutral'}>{up ? t('node.up') : t('node.unknown')}</State>
}

const OPERATIONS = ['set', 'add', 'remove'] as const

/** A rule is one of three operations on a header; the file says it by which key is there. */
function HeaderRules({ path, def }: { path: Path; def: SchemaKey }) {
  const { form, list, add, remove, move } = useList(path)
  return (
    <div class="wide list">
      <ListHead path={path} def={def} />
      {list.map((rule, i) => {
        const operation = OPERATIONS.find((name) => get(rule, [name]) !== undefined) ?? 'set'
        const name = String(get(rule, [operation]) ?? '')
        const value = get(rule, ['value'])
        const put = (next: (typeof OPERATIONS)[number], header: string, content: Json | undefined) => {
          const element: Body = { [next]: header }
          if (next !== 'remove') element.value = content ?? ''
          form.change([...path, i], element)
        }
        return (
          <div class="row-wrap" key={i}>
            <div class="row rule" role="group" aria-label={`${label(form.kind, path)} ${i + 1}`}>
              <select
                aria-label={t('form.operation')}
                value={operation}
                disabled={form.readonly}
                onChange={(event) => put(event.currentTarget.value as (typeof OPERATIONS)[number], name, value)}
              >
                {OPERATIONS.map((option) => (
                  <option key={option} value={option}>
                    {label(form.kind, [...path, option])}
                  </option>
                ))}
              </select>
              <input
                type="text"
                aria-label={t('form.header')}
                placeholder="x-request-source"
                value={name}
                readOnly={form.readonly}
                spellcheck={false}
                onInput={(event) => put(operation, event.currentTarget.value, value)}
              />
              {operation === 'remove' ? (
                <span />
              ) : (
                <input
                  type="text"
                  aria-label={label(form.kind, [...path, 'value'])}
                  placeholder={label(form.kind, [...path, 'value'])}
                  value={String(value ?? '')}
                  readOnly={form.readonly}
                  spellcheck={false}
                  onInput={(event) => put(operation, name, event.currentTarget.value)}
                />
              )}
              {!form.readonly && (
                <span class="row-buttons">
                  <IconButton icon="up" label={t('form.up')} disabled={i === 0} onClick={() => move(i, -1)} />
                  <IconButton
                    icon="down"
                    label={t('form.down')}
                    disabled={i === list.length - 1}
                    onClick={() => move(i, 1)}
                  />
                  <IconButton icon="trash" label={t('form.remove_n', { n: i + 1 })} onClick={() => remove(i)} />
                </span>
              )}
            </div>
            <RowErrors path={[...path, i]} below />
          </div>
        )
      })}
      {!form.readonly && (
        <Button icon="plus" small onClick={() => add({ set: '', value: '' })}>
          {t('form.add_rule')}
        </Button>
      )}
    </div>
  )
}
