// A button with a small menu: arrow keys move, Escape and a click elsewhere close, the focus goes back to the button.

import type { ComponentChildren } from 'preact'
import { useEffect, useId, useRef, useState } from 'preact/hooks'
import { Icon, type IconName } from './icon'

export function Menu({
  label,
  icon,
  text,
  initial,
  children,
}: {
  label: string
  icon?: IconName
  text?: string
  initial?: string
  children: ComponentChildren
}) {
  const [open, setOpen] = useState(false)
  const ref = useRef<HTMLDivElement>(null)
  const button = useRef<HTMLButtonElement>(null)
  const id = useId()
  useEffect(() => {
    if (!open) return
    ref.current?.querySelector<HTMLElement>('[role^="menuitem"]')?.focus()
    const outside = (event: PointerEvent) => ref.current?.contains(event.target as Node) || setOpen(false)
    document.addEventListener('pointerdown', outside)
    return () => document.removeEventListener('pointerdown', outside)
  }, [open])
  const onKeyDown = (event: KeyboardEvent) => {
    if (!open) return
    const items = [...(ref.current?.querySelectorAll<HTMLElement>('[role^="menuitem"]') ?? [])]
    const at = items.indexOf(document.activeElement as HTMLElement)
    const focus = (i: number) => items[(i + items.length) % items.length]?.focus()
    if (event.key === 'ArrowDown') focus(at + 1)
    else if (event.key === 'ArrowUp') focus(at - 1)
    else if (event.key === 'Home') focus(0)
    else if (event.key === 'End') focus(-1)
    else if (event.key === 'Escape' || event.key === 'Tab') {
      setOpen(false)
      if (event.key === 'Escape') button.current?.focus()
      return
    } else return
    event.preventDefault()
  }
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: keys reach it from the button and the items inside
    <div class="menu" ref={ref} onKeyDown={onKeyDown}>
      <button
        type="button"
        ref={button}
        class={`button quiet${text ? ' with-text' : ' only-icon'}`}
        aria-haspopup="menu"
        aria-expanded={open}
        aria-controls={open ? id : undefined}
        aria-label={text ? undefined : label}
        title={text ? undefined : label}
        onClick={() => setOpen(!open)}
      >
        {icon && <Icon name={icon} />}
        {initial && <span class="avatar" data-initial={initial} aria-hidden="true" />}
        {text && <span class="unseen">{label}</span>}
        {text && (
          <span class="menu-text" aria-hidden="true">
            {text}
          </span>
        )}
      </button>
      {open && (
        // biome-ignore lint/a11y/useKeyWithClickEvents: a key on an item is a click on it
        <div class="menu-list" id={id} role="menu" aria-label={label} onClick={() => setOpen(false)}>
          {children}
        </div>
      )}
    </div>
  )
}

export function MenuItem({
  children,
  icon,
  href,
  checked,
  onSelect,
}: {
  children: ComponentChildren
  icon?: IconName
  href?: string
  checked?: boolean
  onSelect?: () => void
}) {
  const content = (
    <>
      {icon && <Icon name={icon} size={16} />}
      <span>{children}</span>
      {checked && <Icon name="check" size={16} />}
    </>
  )
  if (href) {
    return (
      <a role="menuitem" tabIndex={-1} href={href}>
        {content}
      </a>
    )
  }
  return checked === undefined ? (
    <button type="button" role="menuitem" tabIndex={-1} onClick={onSelect}>
      {content}
    </button>
  ) : (
    <button type="button" role="menuitemradio" aria-checked={checked} tabIndex={-1} onClick={onSelect}>
      {content}
    </button>
  )
}
