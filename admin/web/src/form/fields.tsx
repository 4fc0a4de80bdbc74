// One control for each type that the schema knows.

import { useEffect, useId, useState } from 'preact/hooks'
import { language, t } from '../i18n'
import { api } from '../lib/api'
import { useLoad, useSettled } from '../lib/load'
import type { Json, Page, SchemaKey } from '../lib/types'
import { Field, Switch } from '../ui/basics'
import { choice, errorsAt, help, label, useForm, valueAt } from './context'
import { DURATION_UNITS, numeric, type Path, SIZE_UNITS, splitUnit, words } from './schema'

interface Props {
  path: Path
  def: SchemaKey
  /** In a row of a list the head names the column; the label is for screen readers alone. */
  bare?: boolean
}

/** Lists that grow long. */
const WIDE = /(hosts|allow|deny)$/

type Ids = { id?: string; 'aria-describedby'?: string; 'aria-invalid'?: boolean; 'aria-label'?: string }

export function KeyField({ path, def, bare }: Props) {
  const form = useForm()
  const name = label(form.kind, path)
  const lists = def.type.startsWith('list of')
  const dotted = path.filter((part) => typeof part === 'string').join('.')
  const errors = errorsAt(form, path, lists)
  const control = (ids: Ids) => <Control path={path} def={def} ids={ids} />
  if (def.type === 'boolean') {
    const input = <Toggle path={path} def={def} name={name} bare={bare} />
    if (bare) return input
    return (
      <div class={`field toggle${errors.length ? ' wrong' : ''}`}>
        {input}
        {errors.length > 0 && <p class="field-error">{errors.join(' ')}</p>}
        <p class="field-help">
          <Prose text={help(form.kind, path, def).replace(/^`false` = /, 'Off: ')} />
        </p>
      </div>
    )
  }
  if (bare) return control({ 'aria-label': name, 'aria-invalid': errors.length > 0 || undefined })
  return (
    <Field
      label={name}
      errors={errors}
      wide={WIDE.test(dotted)}
      help={<Prose text={help(form.kind, path, def) + meaning(def, valueAt(form, path))} />}
    >
      {control}
    </Field>
  )
}

/** What the chosen word stands for, in the schema's own words; the Chinese texts have it in them. */
function meaning(def: SchemaKey, value: Json | undefined): string {
  if (language.value !== 'en') return ''
  const chosen = def.choices?.find((option) => option.value === (value ?? def.default))
  return chosen?.about ? ` ${choice(chosen.value)}: ${chosen.about}` : ''
}

/** The schema's sentences have their words of code in backticks. */
export function Prose({ text }: { text: string }) {
  return <>{text.split('`').map((part, i) => (i % 2 ? <code key={i}>{part}</code> : part))}</>
}

function Toggle({ path, def, name, bare }: { path: Path; def: SchemaKey; name: string; bare?: boolean }) {
  const form = useForm()
  const fallback = def.default === true
  const value = valueAt(form, path)
  return (
    <Switch
      label={name}
      hideLabel={bare}
      disabled={form.readonly}
      checked={typeof value === 'boolean' ? value : fallback}
      onChange={(on) => form.change(path, on === fallback ? undefined : on)}
    />
  )
}

function Control({ path, def, ids }: { path: Path; def: SchemaKey; ids: Ids }) {
  const form = useForm()
  const value = valueAt(form, path)
  const dotted = path.filter((part) => typeof part === 'string').join('.')
  const change = (next: Json | undefined) => form.change(path, next)
  if (def.choices?.length) return <Choice def={def} ids={ids} value={value} change={change} />
  if (form.kind === 'listener' && (dotted === 'service' || dotted === 'sni_routes.service')) {
    return <Names list="services" ids={ids} value={value} change={change} />
  }
  if (dotted.endsWith('certificates.certificate') || dotted.endsWith('upstream_tls.certificate.certificate')) {
    return <Names list="certificates" ids={ids} value={value} change={change} />
  }
  switch (def.type) {
    case 'duration':
      return <WithUnit def={def} ids={ids} value={value} change={change} units={DURATION_UNITS} first="s" />
    case 'size':
      return <WithUnit def={def} ids={ids} value={value} change={change} units={SIZE_UNITS} first="KiB" />
    case 'integer':
    case 'number':
      return (
        <Text
          ids={ids}
          value={value}
          placeholder={shown(def.default)}
          change={(text) => change(numeric(text))}
          numbers
          unit={dotted.endsWith('requests_per_second') ? t('unit.per_second') : undefined}
        />
      )
    case 'list of strings':
    case 'list of integers': {
      const long = dotted.endsWith('allow') || dotted.endsWith('deny')
      return (
        <List
          ids={ids}
          value={value}
          change={change}
          long={long}
          numbers={def.type === 'list of integers'}
          name={dotted}
        />
      )
    }
    default:
      return (
        <Text
          ids={ids}
          value={value}
          placeholder={
            def.default ? shown(def.default) : (EXAMPLES[`${form.kind}.${dotted}`] ?? EXAMPLES[dotted] ?? '')
          }
          change={(text) => change(text === '' ? undefined : text)}
        />
      )
  }
}

/** What an entry looks like, where there is no default to show. */
const EXAMPLES: Record<string, string> = {
  name: 'orders',
  'listener.name': 'public',
  'tenant.name': 'Mobile application',
  app_id: 'mobile-app',
  address: '0.0.0.0:8080',
  'nodes.address': '10.0.0.7:8080',
  'routes.hosts': 'api.example.com, *.example.com',
  'routes.methods': 'GET, POST',
  'sni_routes.hosts': 'db.example.com',
  'health_check.path': '/healthz',
  'health_check.expect_status': '200, 204',
  'routes.rewrites.pattern': '^/v1/(.*)',
  'routes.rewrites.replacement': '/$1',
  allow: '10.0.0.0/8\n2001:db8::/32',
  'access.allow': '10.0.0.0/8\n2001:db8::/32',
  'access.deny': '192.0.2.0/24',
}

const shown = (value: Json | undefined) => (value === undefined || value === null ? '' : String(value))

function Text({
  ids,
  value,
  placeholder,
  change,
  numbers,
  unit,
}: {
  ids: Ids
  value: Json | undefined
  placeholder: string
  change: (text: string) => void
  numbers?: boolean
  unit?: string
}) {
  const form = useForm()
  const input = (
    <input
      {...ids}
      type="text"
      class={numbers ? 'figures' : ''}
      inputMode={numbers ? 'decimal' : undefined}
      value={shown(value)}
      placeholder={placeholder}
      readOnly={form.readonly}
      spellcheck={false}
      autocomplete="off"
      onInput={(event) => change(event.currentTarget.value)}
    />
  )
  if (!unit) return input
  return (
    <div class="with-unit">
      {input}
      <span class="unit">{unit}</span>
    </div>
  )
}

function WithUnit({
  def,
  ids,
  value,
  change,
  units,
  first,
}: {
  def: SchemaKey
  ids: Ids
  value: Json | undefined
  change: (value: Json | undefined) => void
  units: readonly string[]
  first: string
}) {
  const form = useForm()
  const [fallback, fallbackUnit] = splitUnit(def.default, units, first)
  const [number, unit] = splitUnit(value, units, fallbackUnit)
  const [chosen, choose] = useState(unit)
  const current = number === '' ? chosen : unit
  const put = (text: string, nextUnit: string) => change(text.trim() === '' ? undefined : `${text.trim()}${nextUnit}`)
  return (
    <div class="with-unit">
      <input
        {...ids}
        type="text"
        class="figures"
        inputMode="numeric"
        value={number}
        placeholder={fallback}
        readOnly={form.readonly}
        autocomplete="off"
        onInput={(event) => put(event.currentTarget.value, current)}
      />
      <select
        aria-label={t('unit')}
        value={current}
        disabled={form.readonly}
        onChange={(event) => {
          choose(event.currentTarget.value)
          put(number, event.currentTarget.value)
        }}
      >
        {units.map((name) => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
      </select>
    </div>
  )
}

function Choice({
  def,
  ids,
  value,
  change,
}: {
  def: SchemaKey
  ids: Ids
  value: Json | undefined
  change: (value: Json | undefined) => void
}) {
  const form = useForm()
  const options = def.choices ?? []
  const known = value === undefined || options.some((option) => option.value === value)
  return (
    <select
      {...ids}
      value={shown(value)}
      disabled={form.readonly}
      onChange={(event) => change(event.currentTarget.value || undefined)}
    >
      <option value="">{t('form.default', { value: choice(shown(def.default)) })}</option>
      {options
        .filter((option) => option.value !== def.default || value === def.default)
        .map((option) => (
          <option key={option.value} value={option.value}>
            {choice(option.value)}
          </option>
        ))}
      {!known && <option value={shown(value)}>{shown(value)}</option>}
    </select>
  )
}

/** Names of what there is, asked for while one types: there may be thousands. */
function Names({
  list,
  ids,
  value,
  change,
}: {
  list: 'services' | 'certificates'
  ids: Ids
  value: Json | undefined
  change: (value: Json | undefined) => void
}) {
  const form = useForm()
  const id = useId()
  const typed = useSettled(shown(value), 150)
  const found = useLoad(
    (stop) => api.get<Page<{ name: string }>>(`/${list}`, { search: typed, per_page: 20 }, stop),
    [list, typed],
  )
  return (
    <>
      <input
        {...ids}
        type="text"
        list={id}
        value={shown(value)}
        readOnly={form.readonly}
        spellcheck={false}
        autocomplete="off"
        onInput={(event) => change(event.currentTarget.value || undefined)}
      />
      <datalist id={id}>
        {found.data?.items.map(({ name }) => (
          <option key={name} value={name} />
        ))}
      </datalist>
    </>
  )
}

function List({
  ids,
  value,
  change,
  long,
  numbers,
  name,
}: {
  ids: Ids
  value: Json | undefined
  change: (value: Json | undefined) => void
  long: boolean
  numbers: boolean
  name: string
}) {
  const form = useForm()
  const list = Array.isArray(value) ? value.map(String) : []
  const joined = list.join(long ? '\n' : ', ')
  const [text, setText] = useState(joined)
  // What is typed stays as it is typed (a comma at the end, a blank) as long as it says the same.
  useEffect(() => {
    if (words(text).join() !== list.join()) setText(joined)
  }, [joined])
  const onInput = (event: { currentTarget: { value: string } }) => {
    const next = event.currentTarget.value
    setText(next)
    const parts = words(next)
    change(parts.length === 0 ? undefined : numbers ? parts.map((part) => numeric(part) ?? part) : parts)
  }
  const common = {
    ...ids,
    value: text,
    readOnly: form.readonly,
    spellcheck: false,
    placeholder: EXAMPLES[name] ?? '',
    onInput,
  }
  if (!long) return <input type="text" autocomplete="off" {...common} />
  return <textarea rows={Math.min(8, Math.max(2, list.length + 1))} class="code" {...common} />
}
