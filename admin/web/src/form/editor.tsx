// Editing one item: the form, the checks while typing, the review before it is saved, and the choice when somebody else
// was faster.

import { useEffect, useRef, useState } from 'preact/hooks'
import { language, locale, t, told } from '../i18n'
import { ApiError, api, may, seg } from '../lib/api'
import { diff, same } from '../lib/diff'
import { rate } from '../lib/format'
import { useLoad, useSettled } from '../lib/load'
import { go, guard, href } from '../lib/router'
import { loadStatus, notify } from '../lib/state'
import type { Body, Conflict, Detail, Flow, Json, Problem, Saved, Schema } from '../lib/types'
import { Button, Callout, Dialog, errorText, Failure, Field, Segmented, Spinner } from '../ui/basics'
import { DiffList } from '../ui/diff'
import { ConflictDialog } from './conflict'
import { Form, type FormContext, label, loadWords } from './context'
import { type FormKind, sections } from './layout'
import { type Path, pathText, prune, set } from './schema'
import { SectionCard, sectionTitle } from './sections'

export const LIST = {
  service: 'services',
  listener: 'listeners',
  tenant: 'tenants',
  certificate: 'certificates',
} as const
const NAME_KEY = { service: 'name', listener: 'name', tenant: 'app_id' } as const

export let schemaLoaded: Promise<Schema> | null = null

function loadSchema(): Promise<Schema> {
  schemaLoaded ??= api.get<Schema>('/schema').catch((error) => {
    schemaLoaded = null
    throw error
  })
  return schemaLoaded
}

interface Props {
  kind: FormKind
  /** What is edited; left out for a new item. */
  detail?: Detail
  start?: Body
  /** A saved item is shown anew. */
  onSaved: (saved: Saved, name: string) => void
}

export function ItemEditor(props: Props) {
  const lang = language.value
  const loaded = useLoad(async () => {
    const [schema] = await Promise.all([loadSchema(), loadWords()])
    return schema
  }, [props.kind, lang])
  if (loaded.error) return <Failure error={loaded.error} retry={loaded.reload} />
  if (!loaded.data) return <Spinner />
  const keys = loaded.data[props.kind]?.keys ?? []
  return <Editor {...props} keys={keys} />
}

function Editor({ kind, detail, start, onSaved, keys }: Props & Pick<FormContext, 'keys'>) {
  const isNew = !detail
  const [original, setOriginal] = useState<Body>(detail?.item.body ?? {})
  const [done, setDone] = useState(false)
  const [body, setBody] = useState<Body>(() => ({ ...(detail?.item.body ?? start ?? {}) }))
  const [version, setVersion] = useState(detail?.item.version ?? null)
  const [touched, setTouched] = useState<ReadonlySet<string>>(new Set())
  const [strict, setStrict] = useState(!isNew)
  const [refused, setRefused] = useState<Problem[] | null>(null)
  const [checking, setChecking] = useState(false)
  const [reviewing, setReviewing] = useState(false)
  const [conflict, setConflict] = useState<Conflict | null>(null)
  const readonly = !may('operator')

  const shownDetail = useRef(detail)
  useEffect(() => {
    // Not for the first one, which is there already: somebody may have typed before effects are run.
    if (shownDetail.current === detail) return
    shownDetail.current = detail
    setOriginal(detail?.item.body ?? {})
    setBody({ ...(detail?.item.body ?? start ?? {}) })
    setVersion(detail?.item.version ?? null)
    setRefused(null)
    setDone(false)
  }, [detail])

  const sent = prune(body)
  const paths = diff(original, sent)
  // What a new item begins with is nobody's input.
  const dirty = !done && (detail ? paths.length > 0 : !same(prune(start ?? {}), sent))
  const found = useProblems(kind, detail?.item.name ?? null, sent, version, dirty)
  const all = refused ?? found
  const problems = strict ? all : all.filter((problem) => wasTouched(problem.key, touched))

  useEffect(() => {
    guard.value = dirty && !reviewing ? () => window.confirm(t('form.leave')) : null
    const unload = (event: BeforeUnloadEvent) => dirty && event.preventDefault()
    window.addEventListener('beforeunload', unload)
    return () => window.removeEventListener('beforeunload', unload)
  }, [dirty, reviewing])
  useEffect(
    () => () => {
      guard.value = null
    },
    [],
  )

  const change = (path: Path, value: Json | undefined) => {
    setRefused(null)
    setDone(false)
    setTouched((before) => new Set(before).add(pathText(path)))
    setBody((before) => set(before, path, value))
  }
  const context: FormContext = {
    kind,
    keys,
    body,
    change,
    problems,
    nodes: detail?.nodes,
    readonly,
    isNew,
  }
  const name = String(body[NAME_KEY[kind]] ?? '')
  const shown = sections(kind, keys, body)
  const saved = (answer: Saved) => {
    // Saved is saved, also until the item has been read again.
    guard.value = null
    setDone(true)
    setReviewing(false)
    onSaved(answer, name)
  }
  /** What the last check said may be of a moment ago, so what stands here now is asked about. */
  const review = async () => {
    setStrict(true)
    setChecking(true)
    const now = await check(kind, detail?.item.name ?? null, sent, version).catch(() => [])
    setChecking(false)
    setRefused(now)
    if (now.length === 0) setReviewing(true)
    else scrollToProblem()
  }
  return (
    <Form.Provider value={context}>
      <div class="editor">
        <form
          class="editor-main"
          noValidate
          onSubmit={(event) => {
            event.preventDefault()
            if (dirty) review()
          }}
        >
          <Elsewhere kind={kind} problems={problems} keys={shown.flatMap((section) => section.fields)} />
          {shown.map((section) => (
            <SectionCard key={section.id} section={section} />
          ))}
        </form>
        <aside class="editor-side" aria-label={t('form.summary')}>
          <nav aria-label={t('sections')} class="editor-nav">
            {shown.map((section) => (
              <button type="button" key={section.id} onClick={() => scrollTo(section.id)}>
                {sectionTitle(section.id)}
              </button>
            ))}
          </nav>
          {!readonly && (
            <div class="save-box">
              <p class={problems.length ? 'bad-text' : 'muted'} role="status">
                {problems.length > 0
                  ? t('form.problems', { n: problems.length })
                  : dirty
                    ? t('form.changes', { n: paths.length })
                    : t('form.unchanged')}
              </p>
              <Button look="primary" disabled={!dirty} busy={checking} onClick={review}>
                {t('form.review')}
              </Button>
              <Button look="quiet" disabled={!dirty} onClick={() => setBody({ ...(detail?.item.body ?? start ?? {}) })}>
                {t('form.undo')}
              </Button>
            </div>
          )}
        </aside>
      </div>
      {reviewing && (
        <Review
          kind={kind}
          name={detail?.item.name ?? null}
          shownName={name}
          body={sent}
          version={version}
          paths={paths}
          onClose={() => setReviewing(false)}
          onSaved={saved}
          onRefused={(error) => {
            setReviewing(false)
            setStrict(true)
            setRefused(error.problems)
            notify(errorText(error), 'bad')
          }}
          onStale={(found) => {
            setReviewing(false)
            setConflict(found)
          }}
        />
      )}
      {conflict && (
        <ConflictDialog
          conflict={conflict}
          mine={sent}
          onClose={() => setConflict(null)}
          onResolved={(merged) => {
            setConflict(null)
            if (merged === null) {
              guard.value = null
              go(href([LIST[kind]]))
              return
            }
            setBody(merged)
            setVersion(conflict.version)
            setReviewing(true)
          }}
        />
      )}
    </Form.Provider>
  )
}

function wasTouched(key: string, touched: ReadonlySet<string>): boolean {
  for (const path of touched) if (key === path || key.startsWith(`${path}.`) || key.startsWith(`${path}[`)) return true
  return false
}

function scrollTo(id: string) {
  const card = document.getElementById(`section-${id}`)
  card?.scrollIntoView({ block: 'start' })
  card?.querySelector<HTMLElement>('input, select, textarea, button')?.focus({ preventScroll: true })
}

function scrollToProblem() {
  setTimeout(() => {
    const first = document.querySelector<HTMLElement>('[aria-invalid="true"], .field-error')
    first?.scrollIntoView({ block: 'center' })
    first?.focus?.({ preventScroll: true })
  }, 0)
}

async function check(
  kind: FormKind,
  name: string | null,
  body: Body,
  version: number | null,
  stop?: AbortSignal,
): Promise<Problem[]> {
  const own = name ?? String(body[NAME_KEY[kind]] ?? '')
  // A new tenant's secret is made when it is saved; until then any hash stands for it.
  const made = kind === 'tenant' && name === null ? { secret_sha256: '0'.repeat(64), ...body } : body
  const changes = [{ kind, name: own, body: made, based_on: version }]
  return (await api.post<{ problems: Problem[] }>('/check', { changes }, stop)).problems
}

/** The same checks as `coregate check`, a moment after the last key. */
function useProblems(
  kind: FormKind,
  name: string | null,
  body: Body,
  version: number | null,
  dirty: boolean,
): Problem[] {
  const text = JSON.stringify(body)
  const settled = useSettled(text, 350)
  const [problems, setProblems] = useState<Problem[]>([])
  useEffect(() => {
    if (!dirty) {
      setProblems([])
      return
    }
    const stop = new AbortController()
    const parsed = JSON.parse(settled) as Body
    check(kind, name, parsed, version, stop.signal)
      .then(setProblems)
      .catch(() => undefined)
    return () => stop.abort()
  }, [settled, dirty, version])
  return problems
}

/** Problems of keys that no section shows: of other items, or of the item as a whole. */
function Elsewhere({ kind, problems, keys }: { kind: FormKind; problems: Problem[]; keys: string[] }) {
  const lost = problems.filter(
    (problem) =>
      !keys.some(
        (field) =>
          problem.key === field ||
          problem.key.startsWith(`${field}.`) ||
          problem.key.startsWith(`${field}[`) ||
          field.startsWith(`${problem.key}.`),
      ),
  )
  if (lost.length === 0) return null
  return (
    <Callout tone="bad">
      <ul class="plain-list">
        {lost.map((problem, i) => (
          <li key={i}>
            {problem.kind && problem.kind !== kind ? `${t(`kind.${problem.kind}`)} ${problem.name ?? ''} ` : ''}
            {problem.key && <code>{problem.key}</code>} {told(problem.message)}
          </li>
        ))}
      </ul>
    </Callout>
  )
}

export const DEADLINES = [0, 60, 300, 900, 3600] as const

export function Deadline({ value, onChange }: { value: number; onChange: (seconds: number) => void }) {
  return (
    <Field label={t('save.deadline')} help={t('save.deadline_help')}>
      {(ids) => (
        <select {...ids} value={value} onChange={(event) => onChange(Number(event.currentTarget.value))}>
          {DEADLINES.map((seconds) => (
            <option key={seconds} value={seconds}>
              {seconds === 0 ? t('save.no_deadline') : t('save.minutes', { n: seconds / 60 })}
            </option>
          ))}
        </select>
      )}
    </Field>
  )
}

function Review({
  kind,
  name,
  shownName,
  body,
  version,
  paths,
  onClose,
  onSaved,
  onRefused,
  onStale,
}: {
  kind: FormKind
  name: string | null
  shownName: string
  body: Body
  version: number | null
  paths: ReturnType<typeof diff>
  onClose: () => void
  onSaved: (saved: Saved) => void
  onRefused: (error: ApiError) => void
  onStale: (conflict: Conflict) => void
}) {
  const [message, setMessage] = useState('')
  const [where, setWhere] = useState<'publish' | 'draft'>('publish')
  const [deadline, setDeadline] = useState(0)
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<ApiError | null>(null)
  const save = async () => {
    setBusy(true)
    setError(null)
    const request = {
      body,
      version: version ?? undefined,
      message: message || undefined,
      draft: where === 'draft' || undefined,
      confirm_within_seconds: where === 'publish' && deadline ? deadline : undefined,
    }
    try {
      const saved =
        name === null
          ? await api.post<Saved>(`/${LIST[kind]}`, request)
          : await api.put<Saved>(`/${LIST[kind]}/${seg(name)}`, request)
      await loadStatus().catch(() => undefined)
      notify(where === 'draft' ? t('save.in_draft') : t('save.published', { name: shownName }))
      onSaved(saved ?? {})
    } catch (cause) {
      const known = cause instanceof ApiError ? cause : new ApiError(0, 'unexpected', String(cause))
      const mine = known.conflicts.find((found) => found.kind === kind) ?? known.conflicts[0]
      if (known.status === 409 && mine) onStale(mine)
      else if (known.status === 422 && known.problems.length > 0) onRefused(known)
      else setError(known)
    } finally {
      setBusy(false)
    }
  }
  return (
    <Dialog
      title={name === null ? t('save.title_new', { name: shownName }) : t('save.title', { name: shownName })}
      onClose={onClose}
      wide
      actions={
        <>
          <Button onClick={onClose}>{t('cancel')}</Button>
          <Button look="primary" busy={busy} onClick={save}>
            {where === 'draft' ? t('save.to_draft') : t('save.now')}
          </Button>
        </>
      }
    >
      <Failure error={error} />
      <DiffList paths={paths} />
      {kind === 'service' && name !== null && <Impact scope="service" name={name} />}
      {kind === 'tenant' && name !== null && <Impact scope="tenant" name={name} />}
      <div class="fields">
        <Field label={t('save.message')} optional wide>
          {(ids) => (
            <input
              {...ids}
              type="text"
              value={message}
              maxLength={200}
              placeholder={t('save.message_hint')}
              onInput={(event) => setMessage(event.currentTarget.value)}
            />
          )}
        </Field>
        <div class="field">
          <span class="field-label">{t('save.where')}</span>
          <Segmented
            label={t('save.where')}
            value={where}
            onChange={setWhere}
            options={[
              { value: 'publish', label: t('save.publish') },
              { value: 'draft', label: t('save.draft') },
            ]}
          />
          <p class="field-help">{where === 'draft' ? t('save.draft_help') : t('save.publish_help')}</p>
        </div>
        {where === 'publish' && <Deadline value={deadline} onChange={setDeadline} />}
      </div>
    </Dialog>
  )
}

/** How much traffic a change touches now. */
export function Impact({ scope, name }: { scope: 'service' | 'tenant'; name: string }) {
  const flow = useLoad((stop) => api.get<Flow>('/flow', { scope, name }, stop), [scope, name])
  const now = flow.data?.requests_per_second
  if (now == null) return null
  return <p class="impact">{now === 0 ? t('impact.none') : t('impact.now', { n: rate(now * 60, locale.value.tag) })}</p>
}

export { label }
