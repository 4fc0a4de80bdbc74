// Charts by uPlot: today solid, yesterday muted; a gap in the data is a gap in the line; what the pointer is over stands
// in a line of its own above, so that nothing jumps. The same numbers are in a table for those who do not see the chart.

import { useEffect, useRef, useState } from 'preact/hooks'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { locale, t } from '../i18n'
import { compact, date, integer } from '../lib/format'
import { theme } from '../lib/state'
import type { Flow } from '../lib/types'

/** The chart's colours are the page's: the same variables, as the browser resolves them for light or dark. */
function colour(name: string): string {
  const probe = document.createElement('span')
  probe.style.color = `var(${name})`
  document.body.append(probe)
  const resolved = getComputedStyle(probe).color
  probe.remove()
  return resolved
}

const hourName = (hour: number) => `${String(hour).padStart(2, '0')}:00`

/** The hours of a day, each null where there is no figure. */
function hours(day: (number | null)[] | undefined): (number | null)[] {
  return Array.from({ length: Math.max(24, day?.length ?? 0) }, (_, hour) => day?.[hour] ?? null)
}

function options(width: number, height: number, tag: string, onHover: (hour: number | null) => void): uPlot.Options {
  const grid = { stroke: colour('--line-soft'), width: 1 }
  const font = '12px system-ui, sans-serif'
  const text = colour('--muted')
  const accent = colour('--series-today')
  return {
    width,
    height,
    padding: [8, 8, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
    scales: { x: { time: false, range: [0, 23] }, y: { range: (_, _min, max) => [0, top(max)] } },
    axes: [
      {
        stroke: text,
        font,
        grid: { show: false },
        ticks: { show: false },
        size: 26,
        gap: 6,
        space: 52,
        incrs: [1, 2, 3, 4, 6, 12],
        values: (_, splits) => splits.map((hour) => (Number.isInteger(hour) ? hourName(hour) : '')),
      },
      {
        stroke: text,
        font,
        grid,
        ticks: { show: false },
        size: 52,
        gap: 8,
        space: 34,
        values: (_, splits) => splits.map((value) => compact(value, tag)),
      },
    ],
    series: [
      {},
      {
        label: 'yesterday',
        stroke: colour('--series-yesterday'),
        width: 1.5,
        points: { show: lonely },
      },
      {
        label: 'today',
        stroke: accent,
        width: 2.25,
        fill: colour('--series-today-fill'),
        points: { show: lonely, fill: accent, size: 6 },
      },
    ],
    hooks: {
      setCursor: [(plot) => onHover(plot.cursor.idx ?? null)],
    },
  }
}

/** Points only where an hour stands between gaps: a line of one point would not be seen. */
const lonely: uPlot.Series.Points.Show = (plot, series) => {
  const data = plot.data[series] ?? []
  return data.some((value, i) => value != null && data[i - 1] == null && data[i + 1] == null)
}

function top(max: number | null): number {
  if (!max || max <= 0) return 10
  return max * 1.08
}

export function DayChart({ flow, height = 220 }: { flow: Flow | undefined; height?: number }) {
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const [over, setOver] = useState<number | null>(null)
  const today = hours(flow?.today.hours)
  const yesterday = hours(flow?.yesterday.hours)
  const data: uPlot.AlignedData = [today.map((_, hour) => hour), yesterday, today]
  const tag = locale.value.tag
  const look = theme.value

  useEffect(() => {
    const element = box.current
    if (!element) return
    const draw = () => {
      plot.current?.destroy()
      plot.current = new uPlot(options(element.clientWidth, height, tag, setOver), data, element)
    }
    draw()
    const resized = new ResizeObserver(() => {
      if (plot.current && element.clientWidth !== plot.current.width) {
        plot.current.setSize({ width: element.clientWidth, height })
      }
    })
    resized.observe(element)
    const dark = matchMedia('(prefers-color-scheme: dark)')
    dark.addEventListener('change', draw)
    return () => {
      resized.disconnect()
      dark.removeEventListener('change', draw)
      plot.current?.destroy()
      plot.current = null
    }
  }, [look, tag, height])

  useEffect(() => {
    plot.current?.setData(data)
  }, [JSON.stringify(data)])

  const figure = (values: (number | null)[], total: number | undefined) =>
    over === null ? integer(total, tag) : integer(values[over], tag)
  return (
    <figure class="day-chart">
      <figcaption>
        <span class="key today">
          {t('chart.today')} <strong class="figures">{figure(today, flow?.today.requests)}</strong>
        </span>
        <span class="key yesterday">
          {t('chart.yesterday')} <strong class="figures">{figure(yesterday, flow?.yesterday.requests)}</strong>
        </span>
        <span class="muted figures chart-at">
          {over === null ? (flow?.timezone ?? '') : `${hourName(over)} – ${hourName(over + 1)}`}
        </span>
      </figcaption>
      <div class="plot" ref={box} aria-hidden="true" />
      <table class="unseen">
        <caption>{t('chart.caption')}</caption>
        <thead>
          <tr>
            <th scope="col">{t('chart.hour')}</th>
            <th scope="col">
              {t('chart.today')} {date(flow?.at, locale.value)}
            </th>
            <th scope="col">{t('chart.yesterday')}</th>
          </tr>
        </thead>
        <tbody>
          {today.map((value, hour) => (
            <tr key={hour}>
              <th scope="row">{hourName(hour)}</th>
              <td>{integer(value, tag)}</td>
              <td>{integer(yesterday[hour], tag)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </figure>
  )
}
