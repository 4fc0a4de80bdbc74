// Somebody else saved first: both versions side by side, and a choice for each key in which they differ.

import { useState } from 'preact/hooks'
import { actor, t } from '../i18n'
import { clashes, merge, show } from '../lib/diff'
import type { Body, Conflict } from '../lib/types'
import { Ago, Button, Callout, Dialog } from '../ui/basics'

export function ConflictDialog({
  conflict,
  mine,
  onClose,
  onResolved,
}: {
  conflict: Conflict
  mine: Body
  onClose: () => void
  /** The body to go on with; `null`: the item is gone and stays gone. */
  onResolved: (body: Body | null) => void
}) {
  const theirs = conflict.theirs as Body | null
  const keys = theirs ? clashes(mine, theirs) : []
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set(keys))
  const choose = (key: string, own: boolean) =>
    setChosen((before) => {
      const next = new Set(before)
      if (own) next.add(key)
      else next.delete(key)
      return next
    })
  return (
    <Dialog
      title={t('conflict.title')}
      wide
      onClose={onClose}
      actions={
        theirs ? (
          <>
            <Button onClick={() => setChosen(new Set())}>{t('conflict.all_theirs')}</Button>
            <Button onClick={() => setChosen(new Set(keys))}>{t('conflict.all_mine')}</Button>
            <Button look="primary" onClick={() => onResolved(merge(mine, theirs, chosen))}>
              {t('conflict.go_on')}
            </Button>
          </>
        ) : (
          <>
            <Button onClick={() => onResolved(null)}>{t('conflict.leave_deleted')}</Button>
            <Button look="primary" onClick={() => onResolved(mine)}>
              {t('conflict.create_again')}
            </Button>
          </>
        )
      }
    >
      <Callout tone="warn">
        {theirs
          ? t('conflict.changed', { who: actor(conflict.changed_by) })
          : t('conflict.deleted', { who: actor(conflict.changed_by) })}{' '}
        <Ago at={conflict.changed_at} />
      </Callout>
      {theirs && (
        <div class="conflict">
          {keys.map((key) => (
            <fieldset key={key}>
              <legend>{key}</legend>
              {([true, false] as const).map((own) => (
                <label key={String(own)} class={chosen.has(key) === own ? 'on' : ''}>
                  <span class="conflict-who">
                    <input
                      type="radio"
                      name={`conflict-${key}`}
                      checked={chosen.has(key) === own}
                      onChange={() => choose(key, own)}
                    />
                    {own ? t('conflict.mine') : t('conflict.theirs')}
                  </span>
                  <pre>{show((own ? mine : theirs)[key]) || t('diff.left_out')}</pre>
                </label>
              ))}
            </fieldset>
          ))}
        </div>
      )}
    </Dialog>
  )
}
