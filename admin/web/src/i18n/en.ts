// Every word of the dashboard in English; the type of all other catalogs.

import { frame } from './en/frame'
import { pages } from './en/pages'

export const en = { ...frame, ...pages } as const
