// 管理进程拒绝时所说的话（REST API），它的状态、导入的提示和版本的默认说明。句式见 patterns.ts。

import type { Table } from './patterns'

export const OWNERS: Record<string, string> = {
  service: '服务',
  listener: '监听器',
  certificate: '证书',
  tenant: '租户',
}

/** 句子中的词。 */
export const PARTS: Table = [
  ...Object.entries(OWNERS),
  ['account', '账户'],
  ['token', '令牌'],
  ['an account', '账户'],
  ['a token', '令牌'],
  ['node', '节点'],
  ['revision', '版本'],
  ['viewer', '只读'],
  ['operator', '操作员'],
  ['admin', '管理员'],
  ['enabled', '已启用'],
  ['disabled', '已停用'],
  ['one of {}', '以下之一：{}'],
  ['{} (line {})', '{}（第 {} 行）'],
]

export const REFUSALS: Table = [
  // 名称与版本
  ['there is no {*} "{}"', '没有{} "{}"'],
  ['there is {*} "{}" already; choose another name', '已有{} "{}"；请换一个名称'],
  ['there is a {*} "{}" already; choose another name', '已有{} "{}"；请换一个名称'],
  ['{} values are not right; see problems', '有 {} 个值不正确'],
  [
    'the {*} "{}" is at version {}; say which one you have seen, by "version" or the header if-match, so that nobody\'s work is overwritten',
    '{} "{}" 的版本为 {}；请用 "version" 或 if-match 头说明您看到的版本，以免覆盖他人的修改',
  ],
  [
    'the account "{}" is at version {}; say which one you have seen, by version',
    '账户 "{}" 的版本为 {}；请用 version 说明您看到的版本',
  ],
  [
    'somebody else changed the account "{}" meanwhile: role {*}, {*}; version {} is the newest that is known',
    '账户 "{}" 已被他人修改：角色{}，{}；已知的最新版本为 {}',
  ],
  ['somebody else changed it in the meantime', '已被他人修改'],
  ['{*} {} is at version {} by {}, {}', '{} {} 的版本为 {}，由 {} 修改于 {}'],
  ['{*} {} is at version {}', '{} {} 的版本为 {}'],
  ['{*} {} is not there (any more)', '{} {} 已不存在'],
  ['the {*} "{}" is used by {*}; change that first', '{} "{}" 正在被 {} 使用；请先修改那里'],
  ['nothing differs from what is in force', '与当前版本没有差异'],
  ['it changes nothing', '没有任何变化'],
  ['if-match: right would be the version in quotes, as in "12"', 'if-match：应为带引号的版本号，例如 "12"'],
  ['is {}; right would be {} to {} seconds', '为 {}；应在 {} 到 {} 秒之间'],
  ['are {}; right would be up to {}', '有 {} 项；最多 {} 项'],
  // 数据库与进程
  [
    'the database cannot be reached; gateways go on with what they have, and so does this when it is back',
    '数据库无法访问；网关继续使用现有配置，数据库恢复后即可继续',
  ],
  [
    'the connection to the database broke while this was being saved, and it may have been; look before you repeat it',
    '保存时与数据库的连接中断，内容可能已保存；请先查看，再决定是否重试',
  ],
  ["the database does not do what it should; the admin's log says more", '数据库工作不正常；详情见管理进程的日志'],
  ['sessions are kept in Redis, which cannot be used at the moment', '会话保存在 Redis 中，而它暂时无法使用'],
  ['too many passwords are being checked; try again in a moment', '正在验证的密码过多，请稍后重试'],
  ['this has failed: a bug, which was logged', '执行失败：这是一个缺陷，已记入日志'],
  ['the text could not be read: a bug, which was logged', '文本无法读取：这是一个缺陷，已记入日志'],
  ['the export has failed: a bug, which was logged', '导出失败：这是一个缺陷，已记入日志'],
  ['the check of the configuration has failed; its bug was logged', '配置检查失败：这是一个缺陷，已记入日志'],
  ['the process ends', '进程正在退出'],
  ['{} streams are open already; try again later', '已打开 {} 个实时数据流；请稍后重试'],
  ['it is not known where this request comes from', '无法得知请求的来源'],
  ['the body is larger than this path takes', '内容超出此处允许的大小'],
  ['the body could not be read', '请求内容无法读取'],
  ['the body: {}', '请求内容：{}'],
  ['the query: {}', '查询参数：{}'],
  ['the path: {}', '路径参数：{}'],
  // 登录、账户与令牌
  ['the name or the password is not right', '用户名或密码不正确'],
  ['there are accounts already: log in, or ask an admin for one', '已有账户：请登录，或请管理员为您创建'],
  [
    "the set-up link is not right; the admin's log has printed the one that is, at its start",
    '初始设置链接不正确；正确的链接在管理进程启动时写入了日志',
  ],
  [
    'the link is spent or too old; an admin can make another one, or: coregate-admin reset-password NAME',
    '链接已使用或已过期；管理员可以生成新链接，或运行：coregate-admin reset-password NAME',
  ],
  ['is not the password of this account', '不是该账户的密码'],
  ['too many wrong passwords for this account', '该账户密码错误次数过多'],
  ['too many logins were tried from this address', '该地址尝试登录次数过多'],
  ['{*}; try again in {} seconds', '{}；请在 {} 秒后重试'],
  ['right would be 1 to {} of A-Z a-z 0-9 . _ - @', '应为 1 到 {} 个字符，可用 A-Z a-z 0-9 . _ - @'],
  ['at least {} characters, not {}; several words make a good one', '至少 {} 个字符，现有 {} 个；用几个词更好'],
  ['at most {} bytes, not {}', '最多 {} 字节，现有 {}'],
  ["it is little more than the account's name", '与账户名称过于相近'],
  ['it has too few different characters', '不同的字符太少'],
  ['it is one of the first that anybody tries', '过于常见，很容易被猜到'],
  ['the name is taken', '名称已被使用'],
  ['it is not there', '它不存在'],
  ['no enabled account with the role admin would be left', '至少要保留一个已启用的管理员账户'],
  ['there are as many as there may be', '已达到数量上限'],
  ['is over already; right would be a time to come, or none', '已经过去；应为将来的时间，或不设置'],
  ['you have no such session', '您没有这个会话'],
  ['the session is over: log in again', '会话已结束：请重新登录'],
  ['log in first: POST /api/v1/login, or send "Authorization: Bearer TOKEN"', '请先登录'],
  [
    "the header x-csrf-token is missing or not the session's; GET /api/v1/session has it",
    '请求不属于当前会话：请重新加载页面',
  ],
  [
    'the request comes from another origin; behind a proxy --public-url says which one is right',
    '请求来自其他站点；若经由代理访问，请用 --public-url 指定正确的地址',
  ],
  // 版本
  [
    'revision {} of {} waits to be confirmed: confirm it or take it back first',
    '版本 {}（{}）等待确认：请先确认或撤回',
  ],
  [
    'revision {} does not wait to be confirmed (any more): roll back to the one before it instead',
    '版本 {} 不在等待确认：请恢复到它之前的版本',
  ],
  ['there is no revision {}, or it is not kept any more', '没有版本 {}，或它已不再保留'],
  ['revision {} is not kept any more: the last {} are', '版本 {} 已不再保留：只保留最近 {} 个'],
  ['there is no such revision', '没有这个版本'],
  ['the revision does not wait to be confirmed', '该版本不在等待确认'],
  ['the revision was taken back by revision {}', '该版本已由版本 {} 撤回'],
  ['the time to confirm the revision is over: it is being taken back', '确认时间已过：该版本正在撤回'],
  // 草稿、导入与实例
  ['there is nothing in the draft', '草稿为空'],
  ['the draft is being changed elsewhere at the same time; try again', '草稿同时在别处修改；请重试'],
  ['the draft cannot be written: {}', '草稿无法写入：{}'],
  ['the configuration is not valid; nothing was imported', '配置无效；没有导入任何内容'],
  [
    '{} reports, so it would come back; stop the engine first, or revoke its token',
    '{} 仍在上报，移除后会再次出现；请先停止该引擎，或撤销其令牌',
  ],
  ['there is no instance {}; GET /instances lists them', '没有实例 {}'],
  [
    "belongs to one engine and is not carried over: leave it in the engine's own file",
    '属于单个引擎，不会导入：请保留在该引擎自己的文件里',
  ],
  [
    'names files: {}. They stay names: each engine reads them on its own machine',
    '引用了文件：{}。导入的只是文件名，由各引擎在自己的机器上读取',
  ],
  [
    'names files: {}. They stay names: each engine reads them on its own machine, and relative ones from its working folder, no longer from that of a configuration file: make them absolute',
    '引用了文件：{}。导入的只是文件名，由各引擎在自己的机器上读取；相对路径从引擎的工作目录算起，而不再是配置文件所在目录，请改为绝对路径',
  ],
  // 请求分析与对比的输入
  ['not an IP address; right would be 192.0.2.1', '不是 IP 地址；例如 192.0.2.1'],
  ['not a method; right would be GET', '不是方法；例如 GET'],
  [
    '{*}; right would be http://example.com/path or /path, percent-encoded',
    '{}；应为 http://example.com/path 或 /path，并做百分号编码',
  ],
  ['requests: at most {} at once', '一次最多 {} 个请求'],
  ['either requests or access_log says what to ask', '请给出请求或访问日志'],
  ['the configuration to ask would not be valid', '用于分析的配置无效'],
  // 状态
  [
    'the database cannot be used at the moment; what is in force stays in force',
    '数据库暂时无法使用；当前版本继续生效',
  ],
  ['Redis: {*}', 'Redis：{}'],
  ['certificate "{}" has expired', '证书 "{}" 已过期'],
  ['certificate "{}" expires within a day', '证书 "{}" 将在一天内过期'],
  ['certificate "{}" expires in a day', '证书 "{}" 将在 1 天后过期'],
  ['certificate "{}" expires in {} days', '证书 "{}" 将在 {} 天后过期'],
  // 版本的默认说明
  ['rollback to revision {}', '恢复到版本 {}'],
  ['revision {} taken back', '撤回版本 {}'],
  ['revision {} was not confirmed in time', '版本 {} 未在期限内确认'],
  ['import of a file', '导入文件'],
  ['import of a gogate database', '导入 gogate 数据库'],
  ['import of {}', '导入 {}'],
]
