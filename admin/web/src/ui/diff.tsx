// What changes, key by key: the old value struck out, the new one beside it.

import { t } from '../i18n'
import { show } from '../lib/diff'
import type { PathChange } from '../lib/types'

export function DiffList({ paths, more = 0 }: { paths: PathChange[]; more?: number }) {
  if (paths.length === 0) return <p class="muted">{t('diff.none')}</p>
  return (
    <>
      <Changed paths={paths} />
      {more > 0 && <p class="muted">{t('diff.more_keys', { n: more })}</p>}
    </>
  )
}

function Changed({ paths }: { paths: PathChange[] }) {
  return (
    <dl class="diff">
      {paths.map((change) => (
        <div key={change.path}>
          <dt>{change.path || '·'}</dt>
          <dd>
            {change.before !== undefined && change.before !== null && (
              <del>
                <span class="unseen">{t('diff.before')} </span>
                {show(change.before)}
              </del>
            )}
            {change.after !== undefined && change.after !== null ? (
              <ins>
                <span class="unseen">{t('diff.after')} </span>
                {show(change.after)}
              </ins>
            ) : (
              <em class="muted">{t('diff.removed')}</em>
            )}
          </dd>
        </div>
      ))}
    </dl>
  )
}
