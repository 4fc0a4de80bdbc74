// What the lists of people and of tokens share.

import { t } from '../i18n'
import type { Page as PageOf, Role } from '../lib/types'
import { Field } from '../ui/basics'

/** Some lists come as pages, some whole. */
export const items = <T,>(list: T[] | PageOf<T>): T[] => (Array.isArray(list) ? list : list.items)

const ROLES: Role[] = ['viewer', 'operator', 'admin']

export function RoleField({
  value,
  onChange,
  engine,
}: {
  value: string
  onChange: (role: string) => void
  engine?: boolean
}) {
  const roles = engine ? [...ROLES, 'engine' as const] : ROLES
  return (
    <Field label={t('account.role')} help={t(`role_about.${value as Role}`)}>
      {(ids) => (
        <select {...ids} value={value} onChange={(event) => onChange(event.currentTarget.value)}>
          {roles.map((role) => (
            <option key={role} value={role}>
              {t(`role.${role}`)}
            </option>
          ))}
        </select>
      )}
    </Field>
  )
}
