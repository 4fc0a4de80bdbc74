// A secret is shown once: afterwards only its hash is kept.

import { t } from '../i18n'
import { Button, Callout, Copyable, Dialog } from '../ui/basics'

export function SecretDialog({
  title,
  about,
  secret,
  onClose,
}: {
  title: string
  about: string
  secret: string
  onClose: () => void
}) {
  return (
    <Dialog
      title={title}
      onClose={onClose}
      actions={
        <Button look="primary" onClick={onClose}>
          {t('secret.kept')}
        </Button>
      }
    >
      <Callout tone="warn">{about}</Callout>
      <Copyable text={secret} label={t('secret.copy')} />
    </Dialog>
  )
}
