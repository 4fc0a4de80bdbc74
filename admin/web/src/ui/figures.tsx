// Small pictures of numbers: a sparkline, bars by size.

import type { ComponentChildren } from 'preact'
import { Icon } from './icon'

/** The last two minutes, without axes: the shape is what it says. A gap in the data is a gap in the line. */
export function Sparkline({ values }: { values: (number | null)[] }) {
  const width = 120
  const height = 32
  const max = Math.max(1, ...values.map((value) => value ?? 0))
  const step = width / Math.max(1, values.length - 1)
  let path = ''
  let pen = false
  values.forEach((value, i) => {
    if (value === null) {
      pen = false
      return
    }
    const y = height - 2 - (value / max) * (height - 4)
    path += `${pen ? 'L' : 'M'}${(i * step).toFixed(1)} ${y.toFixed(1)}`
    pen = true
  })
  return (
    <svg class="sparkline" viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" aria-hidden="true">
      <path d={path} vector-effect="non-scaling-stroke" />
    </svg>
  )
}

export interface BarItem {
  id: string
  label: string
  href?: string
  size: number
  value: ComponentChildren
}

export function BarList({ items, tone = 'accent' }: { items: BarItem[]; tone?: 'accent' | 'bad' | 'neutral' }) {
  const max = Math.max(0, ...items.map((item) => item.size))
  return (
    <ol class={`bar-list ${tone}`}>
      {items.map((item) => (
        <li key={item.id}>
          <span class="bar-fill" style={{ width: `${max > 0 ? (item.size / max) * 100 : 0}%` }} aria-hidden="true" />
          <span class="bar-label">{item.href ? <a href={item.href}>{item.label}</a> : item.label}</span>
          <span class="bar-value figures">{item.value}</span>
        </li>
      ))}
    </ol>
  )
}

export function Stat({
  label,
  value,
  unit,
  tone,
  note,
  href,
  children,
}: {
  label: string
  value: ComponentChildren
  unit?: string
  tone?: 'good' | 'warn' | 'bad'
  note?: ComponentChildren
  href?: string
  children?: ComponentChildren
}) {
  const inside = (
    <>
      <span class="stat-label">
        {label}
        {tone && tone !== 'good' && <Icon name={tone === 'bad' ? 'bad' : 'warn'} size={14} />}
      </span>
      <span class="stat-value figures">
        {value}
        {unit && <small> {unit}</small>}
      </span>
      {children}
      {note && <span class="stat-note">{note}</span>}
    </>
  )
  const classes = `stat${tone ? ` ${tone}` : ''}`
  return href ? (
    <a class={classes} href={href}>
      {inside}
    </a>
  ) : (
    <div class={classes}>{inside}</div>
  )
}
