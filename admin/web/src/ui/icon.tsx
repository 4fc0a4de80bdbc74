// Icons as components: strokes on a 20 px grid in the text's colour. They never stand alone for a meaning.

const PATHS = {
  overview: 'M3 11.5h3l2-6 4 10 2.2-6H17',
  services: 'M4 4.5h12v4H4zM4 11.5h12v4H4zM7 6.5h.01M7 13.5h.01',
  tenants: 'M10 9.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM4 16.5c.6-3 3-4.5 6-4.5s5.4 1.5 6 4.5',
  listeners: 'M3.5 10h6M9.5 4.500v11M9.5 10c3 0 3.5-4 7-4M9.5 10c3 0 3.5 4 7 4',
  instances:
    'M6.5 3v2.500M10 3v2.500M13.5 3v2.500M6.5 14.500V17M10 14.500V17M13.5 14.500V17M3 10h2M15 10h2M5 5.500h10v9H5zM8.5 8.500h3v3h-3z',
  revisions: 'M4 6.500A7 7 0 1 1 3 10M4 3v3.500h3.500M10 6.500V10l2.5 1.5',
  explain: 'M5 4v4.500a3 3 0 0 0 3 3h7M12 8l3.5 3.500L12 15M5 8.500V16',
  audit: 'M5.5 3.500h9v13h-9zM8 7h4M8 10h4M8 13h2.5',
  more: 'M4.5 10h.01M10 10h.01M15.5 10h.01',
  plus: 'M10 4.500v11M4.5 10h11',
  minus: 'M4.5 10h11',
  close: 'M5 5l10 10M15 5L5 15',
  check: 'M4.5 10.500l3.5 3.5 7.5-8',
  search: 'M9 14.500a5.5 5.5 0 1 0 0-11 5.5 5.5 0 0 0 0 11ZM13 13l4 4',
  up: 'M10 15.500v-11M5.5 9L10 4.5 14.5 9',
  down: 'M10 4.500v11M5.5 11l4.5 4.500L14.5 11',
  left: 'M12 5l-5 5 5 5',
  right: 'M8 5l5 5-5 5',
  chevron: 'M6 8l4 4 4-4',
  warn: 'M10 3.500l7.5 13h-15zM10 8.500v3.500M10 14.250v.01',
  bad: 'M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14ZM10 6.500V11M10 13.500v.01',
  good: 'M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14ZM7 10.200l2.2 2.200L13.2 8',
  info: 'M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14ZM10 9.500v4M10 6.750v.01',
  sun: 'M10 13.500a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7ZM10 2v1.500M10 16.500V18M2 10h1.500M16.5 10H18M4.4 4.400l1 1M14.6 14.600l1 1M15.6 4.400l-1 1M5.4 14.600l-1 1',
  moon: 'M16.5 11.500A7 7 0 0 1 8.5 3.500a7 7 0 1 0 8 8Z',
  system: 'M3 4.500h14v9H3zM7.5 16.500h5M10 13.500v3',
  language:
    'M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14ZM3.2 10h13.600M10 3c2.5 2 3.2 4.5 3.2 7s-.7 5-3.2 7c-2.5-2-3.2-4.5-3.2-7s.7-5 3.2-7Z',
  key: 'M13 10.500a3.5 3.5 0 1 0-3.4-2.700L3.5 14v2.500H6V15h1.500v-1.500H9l1.3-3.3',
  lock: 'M5 9h10v7.500H5zM7 9V6.500a3 3 0 0 1 6 0V9',
  copy: 'M7 7h9.500v9.500H7zM13 7V3.500H3.500V13H7',
  edit: 'M4 16l.6-3L13 4.600a1.4 1.4 0 0 1 2 0l.4.4a1.4 1.4 0 0 1 0 2L7 15.400z',
  trash: 'M4 6h12M8 6V4h4v2M5.5 6l.7 10.500h7.600L14.5 6M8.5 9v4.500M11.5 9v4.5',
  download: 'M10 3.500v9M6 9l4 4 4-4M4 16.500h12',
  upload: 'M10 13V4M6 7.500L10 3.500l4 4M4 16.500h12',
  branch:
    'M6 13V7M6 7a2 2 0 1 0 0-4 2 2 0 0 0 0 4ZM6 17a2 2 0 1 0 0-4 2 2 0 0 0 0 4ZM14 9a2 2 0 1 0 0-4 2 2 0 0 0 0 4ZM14 9c0 3-4 2-7.5 4.2',
  logout: 'M8 3.500H4v13h4M8 10h9M13.5 6.500L17 10l-3.5 3.5',
  clock: 'M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14ZM10 6v4l2.5 2',
  external: 'M8 5H4.500v10.500H15V12M11 4h5v5M16 4l-7 7',
} as const

export type IconName = keyof typeof PATHS

export function Icon({ name, size = 18 }: { name: IconName; size?: number }) {
  return (
    <svg
      class="icon"
      width={size}
      height={size}
      viewBox="0 0 20 20"
      fill="none"
      stroke="currentColor"
      stroke-width={name === 'more' ? 2.4 : 1.5}
      stroke-linecap="round"
      stroke-linejoin="round"
      aria-hidden="true"
      focusable="false"
    >
      <path d={PATHS[name]} />
    </svg>
  )
}

/** The mark: traffic passing a gate. */
export function Mark() {
  return (
    <svg class="mark" width="26" height="26" viewBox="0 0 32 32" fill="none" aria-hidden="true" focusable="false">
      <rect width="32" height="32" rx="8" class="mark-ground" />
      <path d="M10 8v16M22 8v16" class="mark-posts" />
      <path d="M5 16h17M18 11.500l5 4.5-5 4.5" class="mark-way" />
    </svg>
  )
}
