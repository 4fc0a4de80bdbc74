// Loading what a page shows. What was there stays until the next answer, so that nothing jumps.

import { useEffect, useRef, useState } from 'preact/hooks'
import { ApiError } from './api'

export interface Loaded<T> {
  data: T | undefined
  error: ApiError | null
  busy: boolean
  reload: () => void
}

export function useLoad<T>(load: (stop: AbortSignal) => Promise<T>, inputs: unknown[]): Loaded<T> {
  const [state, set] = useState<{ data?: T; error: ApiError | null; busy: boolean }>({ error: null, busy: true })
  const [again, setAgain] = useState(0)
  useEffect(() => {
    const stop = new AbortController()
    set((before) => ({ ...before, busy: true }))
    load(stop.signal).then(
      (data) => !stop.signal.aborted && set({ data, error: null, busy: false }),
      (error) => {
        if (stop.signal.aborted) return
        const known = error instanceof ApiError ? error : new ApiError(0, 'unexpected', String(error))
        set((before) => ({ data: before.data, error: known, busy: false }))
      },
    )
    return () => stop.abort()
  }, [...inputs, again])
  return { data: state.data, error: state.error, busy: state.busy, reload: () => setAgain((n) => n + 1) }
}

/** Calls `again` every so many milliseconds while the page is looked at. */
export function useEvery(milliseconds: number, again: () => void): void {
  const latest = useRef(again)
  latest.current = again
  useEffect(() => {
    const timer = setInterval(() => document.hidden || latest.current(), milliseconds)
    return () => clearInterval(timer)
  }, [milliseconds])
}

/** The value as it was when it last stood still for so long: for searches and checks while somebody types. */
export function useSettled<T>(value: T, milliseconds: number): T {
  const [settled, set] = useState(value)
  useEffect(() => {
    const timer = setTimeout(() => set(() => value), milliseconds)
    return () => clearTimeout(timer)
  }, [value, milliseconds])
  return settled
}
