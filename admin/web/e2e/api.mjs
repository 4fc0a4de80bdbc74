// The REST API as a script uses it in a browser's place: sets the process up and puts a few things into it.

export class Api {
  constructor(base) {
    this.base = base
    this.cookie = ''
    this.csrf = ''
  }

  async call(method, path, body) {
    const response = await fetch(`${this.base}/api/v1${path}`, {
      method,
      headers: {
        'content-type': 'application/json',
        origin: this.base,
        ...(this.cookie ? { cookie: this.cookie, 'x-csrf-token': this.csrf } : {}),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
    const cookies = response.headers.getSetCookie()
    if (cookies.length > 0) this.cookie = cookies.map((cookie) => cookie.split(';')[0]).join('; ')
    return text ? JSON.parse(text) : undefined
  }

  /** The first account, by the token in the set-up link. */
  async setUp(link, name, password) {
    const token = new URLSearchParams(link.split('?')[1]).get('token')
    const session = await this.call('POST', '/setup', { token, name, password })
    this.csrf = session.csrf_token
  }
}
