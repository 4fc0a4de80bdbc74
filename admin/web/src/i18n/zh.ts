// 控制台的全部中文。缺少的键无法通过编译。

import type { Messages } from '.'
import { frame } from './zh/frame'
import { pages } from './zh/pages'

export const zh: Messages = { ...frame, ...pages }
