// 配置检查所说的话（config crate，以及保存前对整个配置和证书的检查）。句式见 patterns.ts。

import type { Table } from './patterns'

export const CHECKS: Table = [
  ['must be {} to {}', '应在 {} 到 {} 之间'],
  [
    'must be 0 or {}, the number of server.cpus: one shard a CPU',
    '应为 0 或 {}，即 server.cpus 的个数：每个 CPU 一个分片',
  ],
  ['must have 1 to {} characters, not {}', '应有 1 到 {} 个字符，现有 {} 个'],
  ['must have 1 to {} bytes', '应有 1 到 {} 字节'],
  ['must consist of A-Z a-z 0-9 _ . - and has {}', '只能由 A-Z a-z 0-9 _ . - 组成，其中有 {}'],
  ['has {} bytes, at most {} are allowed', '有 {} 字节，最多允许 {}'],
  ['has {} elements, at most {} are allowed', '有 {} 个元素，最多允许 {} 个'],
  ['has the control character {}', '含有控制字符 {}'],
  ['must not hold control characters', '不能含有控制字符'],
  [
    'must not hold control characters (CR, LF, NUL ...), as its character {} is',
    '不能含有控制字符（CR、LF、NUL 等），第 {} 个字符就是',
  ],
  ['must not be empty', '不能为空'],
  ['is missing and must be given', '缺少，必须给出'],
  [
    'is missing and must be given, as kind = "http": such as "/healthz"',
    '缺少，kind = "http" 时必须给出，例如 "/healthz"',
  ],
  ['is missing and must be given with {}', '缺少，与 {} 一起必须给出'],
  [
    'is missing and must be given, unless `certificate` names one of [[certificates]]',
    '缺少，必须给出，除非 `certificate` 指定了 [[certificates]] 中的一个',
  ],
  ['must be {*}, not {*}', '应为{}，而不是{}'],
  ['must be one of {}', '应为以下之一：{}'],
  ['unknown key; did you mean `{}`?', '未知的键；是不是 `{}`？'],
  ['unknown key; here are known: {}', '未知的键；此处可用：{}'],
  ['has no unit; for seconds write "{}s"', '没有单位；若为秒请写 "{}s"'],
  ['is given twice', '重复给出'],
  ['is the same as {*}', '与 {} 相同'],
  ['overlaps with {*}', '与 {} 重叠'],
  ['does not go together with {*}', '不能与 {} 同时使用'],
  [
    "belongs to one engine: write it in that engine's own file, not here",
    '属于单个引擎：请写在该引擎自己的文件里，而不是这里',
  ],
  // 节点与地址
  ['must be IP:PORT, [IPv6]:PORT or NAME:PORT', '应为 IP:端口、[IPv6]:端口 或 名称:端口'],
  [
    'must be IP:PORT, [IPv6]:PORT or NAME:PORT; the port is missing',
    '应为 IP:端口、[IPv6]:端口 或 名称:端口；缺少端口',
  ],
  [
    'must be IP:PORT, [IPv6]:PORT or NAME:PORT; {} is no port from 1 to 65535',
    '应为 IP:端口、[IPv6]:端口 或 名称:端口；{} 不是 1 到 65535 的端口',
  ],
  ['must be IP:PORT, [IPv6]:PORT or NAME:PORT, without {}', '应为 IP:端口、[IPv6]:端口 或 名称:端口，不带 {}'],
  [
    'must be IP:PORT, [IPv6]:PORT or NAME:PORT; write the address in brackets: {}',
    '应为 IP:端口、[IPv6]:端口 或 名称:端口；地址请加方括号：{}',
  ],
  ['must have a port from 1 to 65535', '端口应为 1 到 65535'],
  ['must be IP:PORT, such as "127.0.0.1:8080" or "[::1]:8080"', '应为 IP:端口，例如 "127.0.0.1:8080" 或 "[::1]:8080"'],
  [
    'must be IP:PORT, such as "127.0.0.1:8080" or "[::1]:8080"; for every IPv4 address write {}',
    '应为 IP:端口，例如 "127.0.0.1:8080" 或 "[::1]:8080"；所有 IPv4 地址请写 {}',
  ],
  [
    'must be IP:PORT, such as "127.0.0.1:8080" or "[::1]:8080"; for localhost write "127.0.0.1"',
    '应为 IP:端口，例如 "127.0.0.1:8080" 或 "[::1]:8080"；localhost 请写 "127.0.0.1"',
  ],
  [
    'must be a network such as "10.0.0.0/8" or "2001:db8::/32", or one address',
    '应为网段（例如 "10.0.0.0/8" 或 "2001:db8::/32"）或单个地址',
  ],
  [
    'must be a network such as "10.0.0.0/8" or "2001:db8::/32", or one address: {} is no prefix length from 0 to {}',
    '应为网段（例如 "10.0.0.0/8" 或 "2001:db8::/32"）或单个地址：{} 不是 0 到 {} 的前缀长度',
  ],
  [
    'must be a network such as "10.0.0.0/8" or "2001:db8::/32", or one address: {} is no IP address',
    '应为网段（例如 "10.0.0.0/8" 或 "2001:db8::/32"）或单个地址：{} 不是 IP 地址',
  ],
  [
    'has address bits beyond /{}: write {} for the network or {} for the one address',
    '地址位超出 /{}：网段请写 {}，单个地址请写 {}',
  ],
  // 主机名
  ['must be ASCII: write an international name in its xn-- form', '应为 ASCII：国际化域名请写成 xn-- 形式'],
  ['must not end with a dot: write {}', '不能以点结尾：请写 {}'],
  ['must be a host name of 1 to 253 characters', '应为 1 到 253 个字符的主机名'],
  ['must be a host name whose labels have 1 to 63 characters', '应为主机名，每段 1 到 63 个字符'],
  ['must be a host name and has {}', '应为主机名，其中有 {}'],
  ["must be a host name whose labels neither begin nor end with '-'", "应为主机名，每段不能以 '-' 开头或结尾"],
  ['must be a host name or an IP address', '应为主机名或 IP 地址'],
  ['must be a host: a name or an IP address, and perhaps a port', '应为主机：名称或 IP 地址，可带端口'],
  ['is no host: for any host leave the list empty', '不是主机；若要匹配任意主机，请将列表留空'],
  ["is no host: what no route fits goes to the listener's service", '不是主机；没有路由匹配的会进入监听器的服务'],
  ['can have one "*", as the whole first label: "*.example.com"', '只能有一个 "*"，且为完整的第一段："*.example.com"'],
  ['can have "*" only as the whole first label: "*.example.com"', '"*" 只能是完整的第一段："*.example.com"'],
  ['is no IPv6 address in brackets', '方括号里不是 IPv6 地址'],
  ['is an IPv6 address, which stands in brackets: {}', '是 IPv6 地址，请加方括号：{}'],
  ['stands without a port, any port matches: write {}', '不写端口，任何端口都匹配：请写 {}'],
  ['is an IP address, and TLS clients ask for names alone', '是 IP 地址，而 TLS 客户端只请求名称'],
  // 路由
  ['must be a method, such as "GET"', '应为方法，例如 "GET"'],
  ['must be upper case, as methods are case-sensitive: write {}', '方法区分大小写，应为大写：请写 {}'],
  ['is never forwarded', '从不转发'],
  ["must begin with '/': write {}", "应以 '/' 开头：请写 {}"],
  ["must begin with '/'", "应以 '/' 开头"],
  ['is too long', '太长'],
  [
    "must be visible ASCII without spaces and '#': percent-encode what is not",
    "应为可见 ASCII 字符，不含空格和 '#'；其他请用百分号编码",
  ],
  ['must not have empty segments ("//")', '不能有空段（"//"）'],
  ['must not have the segment {}, which requests are matched without', '不能有 {} 段，请求匹配时没有它'],
  ['must be ASCII: write {} as {}', '应为 ASCII：{} 请写成 {}'],
  ['has {}, which no path has', '含有 {}，路径中不会有它'],
  ['has {}, which is no percent-encoding', '含有 {}，不是百分号编码'],
  ['has {}; requests with it are refused, as it is ambiguous', '含有 {}；它有歧义，带它的请求会被拒绝'],
  ['has {}, which requests are matched without: write {}', '含有 {}，请求匹配时没有它：请写 {}'],
  ['has {}: write it in upper case, {}', '含有 {}：请用大写 {}'],
  ['the same requests ({*}, prefix {}) belong to {*}', '相同的请求（{}，前缀 {}）属于 {}'],
  ['the host {} belongs to {*}', '主机 {} 属于 {}'],
  // 改写与头
  ['is no regular expression that can be compiled', '不是可以编译的正则表达式'],
  ['is no regular expression: {}, at its character {}', '不是正则表达式：{}，在第 {} 个字符'],
  ['takes more than {} when compiled; use smaller repetitions', '编译后超过 {}；请减少重复次数'],
  [
    "becomes part of a path, so it must be visible ASCII without '?' and '#': percent-encode {}",
    "会成为路径的一部分，应为可见 ASCII，不含 '?' 和 '#'：请对 {} 做百分号编码",
  ],
  [
    'names the group {}, which the pattern does not have; it has {} numbered',
    '引用了模式中没有的分组 {}；模式有 {} 个编号分组',
  ],
  [
    'names the group {}, which the pattern does not have; for group {} followed by {} write {}',
    '引用了模式中没有的分组 {}；若为分组 {} 后跟 {}，请写 {}',
  ],
  [
    'must have exactly one of add, set and remove, which names the header',
    'add、set、remove 三者必须且只能有一个，用来指定头的名称',
  ],
  ['is for add and set; remove takes all lines of that name', '用于 add 和 set；remove 会去掉该名称的所有行'],
  ['can only be set, and only in requests: every request has exactly one', '只能 set，且只用于请求：每个请求恰有一个'],
  [
    "must be a header name: letters, digits and !#$%&'*+-.^_`|~, without colon and spaces",
    "应为头名称：字母、数字和 !#$%&'*+-.^_`|~，不含冒号和空格",
  ],
  [
    'belongs to the connection or to the framing of messages, which the gateway makes itself',
    '属于连接或消息分帧，由网关自己产生',
  ],
  ['must be ASCII: what recipients make of other characters is not defined', '应为 ASCII：其他字符的含义没有定义'],
  ['must neither begin nor end with white space, which recipients take off', '不能以空白开头或结尾，接收方会去掉'],
  // 健康检查与限流
  ['must be at most the interval, {}', '不能超过间隔 {}'],
  ['is for kind = "http" alone, and kind is {}', '仅用于 kind = "http"，而 kind 为 {}'],
  ['is for kind = "http" and "grpc" alone, and kind is {}', '仅用于 kind = "http" 和 "grpc"，而 kind 为 {}'],
  ['is for kind = "grpc" alone, and kind is {}', '仅用于 kind = "grpc"，而 kind 为 {}'],
  [
    'must be the full name of a service, up to {} visible ASCII characters',
    '应为服务的完整名称，最多 {} 个可见 ASCII 字符',
  ],
  ['must be 1 to {}, or 0 for the same as the rate', '应为 1 到 {}，或 0 表示与速率相同'],
  ['must be above 0 and at most {}, or 0 for off', '应大于 0 且不超过 {}，或 0 表示关闭'],
  ['needs requests_per_second, which is 0 (off)', '需要 requests_per_second，而它为 0（关闭）'],
  ['"cluster" needs stats.redis_url, which is not given', '"cluster" 需要 stats.redis_url，而它没有给出'],
  // 服务与监听器
  ['is for services that a tcp listener uses, and none uses this one', '用于 tcp 监听器的服务，而没有监听器使用它'],
  [
    'is for services that a tcp listener uses; requests are limited by per_client_ip.requests_per_second',
    '用于 tcp 监听器的服务；请求由 per_client_ip.requests_per_second 限制',
  ],
  [
    'is for services with routes; a tcp listener passes bytes on as they are',
    '用于有路由的服务；tcp 监听器原样转发字节',
  ],
  [
    'is for protocol = "tcp" alone; http requests find their service by its routes',
    '仅用于 protocol = "tcp"；http 请求按路由找到服务',
  ],
  [
    'are for protocol = "tcp" alone; http requests find their service by its routes',
    '仅用于 protocol = "tcp"；http 请求按路由找到服务',
  ],
  ['is for protocol = "http" alone', '仅用于 protocol = "http"'],
  ['is for protocol = "http" and "https" alone', '仅用于 protocol = "http" 和 "https"'],
  ['is for protocol = "https" and "tcp" alone', '仅用于 protocol = "https" 和 "tcp"'],
  ['are for protocol = "https" and "tcp" alone', '仅用于 protocol = "https" 和 "tcp"'],
  [
    'is for protocol = "https" alone: over tcp the gateway sends no headers',
    '仅用于 protocol = "https"：tcp 上网关不发送头',
  ],
  [
    'needs server.trusted_proxies, which is empty: every connection would be refused',
    '需要 server.trusted_proxies，而它为空：所有连接都会被拒绝',
  ],
  [
    'is missing: a tcp listener needs the name of the service that gets its bytes, or sni_routes',
    '缺少：tcp 监听器需要接收字节的服务名称，或 sni_routes',
  ],
  [
    "must have at least one name; for all others there is the listener's service",
    '至少要有一个名称；其余的进入监听器的服务',
  ],
  ['there is no service of that name', '没有这个名称的服务'],
  [
    'requires a tenant (access.require_tenant), and nobody can present credentials over tcp',
    '要求租户（access.require_tenant），而 tcp 上无法出示凭据',
  ],
  ['pass TLS through, so it cannot end here by {*}', '会透传 TLS，因此不能在这里由 {} 终止'],
  ['needs tls = true; without it the nodes are spoken to in clear', '需要 tls = true；否则与节点之间是明文'],
  // 证书
  [
    'is missing: an https listener needs at least one certificate (chain and key)',
    '缺少：https 监听器至少需要一张证书（chain 与 key）',
  ],
  ['needs certificates, of which this listener has none', '需要证书，而该监听器没有'],
  [
    'is the text itself; it belongs into [[certificates]], whose name stands here',
    '是证书内容本身；它应放在 [[certificates]] 里，此处写其名称',
  ],
  ['there is no certificate of that name in [[certificates]]', '[[certificates]] 中没有这个名称的证书'],
  [
    'is for client_certificates = "optional" and "required"; it is "off"',
    '用于 client_certificates = "optional" 和 "required"；现为 "off"',
  ],
  [
    'is missing: client certificates need a PEM file with the certificates of those that may sign them',
    '缺少：客户端证书需要一个 PEM 文件，内含可签发它们的机构证书',
  ],
  ["is the request's own", '是请求自带的头'],
  ['needs hsts_max_age, which is 0 (off); such as "365d"', '需要 hsts_max_age，而它为 0（关闭）；例如 "365d"'],
  ['holds no certificate in PEM (-----BEGIN CERTIFICATE-----)', '没有 PEM 证书（-----BEGIN CERTIFICATE-----）'],
  [
    'holds a private key; the chain has certificates alone, the key belongs under `key`',
    '含有私钥；chain 只放证书，私钥请放在 `key`',
  ],
  ['holds a signing request; the certificate is what the authority made of it', '是签名请求；证书是签发机构据此生成的'],
  ['holds something else than certificates', '含有证书以外的内容'],
  ['holds no private key in PEM (-----BEGIN PRIVATE KEY-----)', '没有 PEM 私钥（-----BEGIN PRIVATE KEY-----）'],
  [
    'is encrypted, and nobody is there to be asked for its password; `openssl pkey` decrypts it',
    '是加密的，没有人可以输入密码；可用 `openssl pkey` 解密',
  ],
  [
    'holds certificates; they belong under `chain`, and here one private key',
    '含有证书；证书请放在 `chain`，这里放一个私钥',
  ],
  ['must hold one private key and nothing else', '只能有一个私钥，不能有其他内容'],
  ['is not whole PEM: a block has no end, or an end without a beginning', 'PEM 不完整：某块缺少结尾，或只有结尾'],
  ['is not PEM: between BEGIN and END stands something else than base64', '不是 PEM：BEGIN 与 END 之间不是 base64'],
  // 租户
  ['is missing: this or secret_sha256 must be given', '缺少：它或 secret_sha256 必须给出'],
  ['must be the SHA-256 of the secret: 64 hexadecimal digits', '应为密钥的 SHA-256：64 个十六进制数字'],
  ['is the SHA-256 of no secret at all', '是空密钥的 SHA-256'],
  // 引擎自己的配置（导入的文件可能含有）
  ['must be 0.0 (no request is logged) to 1.0 (every request is)', '应在 0.0（不记录请求）到 1.0（全部记录）之间'],
  [
    'must be the IANA name of a time zone; such as "UTC" or "Asia/Shanghai"',
    '应为 IANA 时区名称，例如 "UTC" 或 "Asia/Shanghai"',
  ],
  ['must be the IANA name of a time zone', '应为 IANA 时区名称'],
  ['must begin with one of {}://', '应以 {}:// 之一开头'],
  ['must name a host: {}://HOST:PORT', '应给出主机：{}://主机:端口'],
  ['must be at most {} visible ASCII characters', '最多 {} 个可见 ASCII 字符'],
  ['is for control.source = "admin" alone', '仅用于 control.source = "admin"'],
  ['is missing and must be given, as control.source = "admin"', '缺少，control.source = "admin" 时必须给出'],
  ['must begin with http:// or https://', '应以 http:// 或 https:// 开头'],
  ['must name a host', '应给出主机'],
  ['must not hold credentials; the token stands in control.token_file', '不能含有凭据；令牌放在 control.token_file 中'],
  ['must be a base URL, without query, fragment or spaces', '应为基础 URL，不含查询、片段和空格'],
  [
    'come from the admin, as control.source = "admin"; take them out here',
    '由管理进程提供（control.source = "admin"）；请从此处移除',
  ],
  // 文本与大小
  ['cannot open {}: {*}', '无法打开 {}：{}'],
  ['cannot open the file: {*}', '无法打开文件：{}'],
  ['cannot read the file: {*}', '无法读取文件：{}'],
  ['the file is larger than {}', '文件大于 {}'],
  ['the file is not UTF-8: byte {} is no part of a character', '文件不是 UTF-8：第 {} 个字节不属于任何字符'],
  ['{} elements, at most {} can be read', '{} 个元素，最多可读取 {} 个'],
  ['nested more than {} levels deep', '嵌套超过 {} 层'],
  ['the key is given twice', '键重复给出'],
  ['the integer does not fit into 64 bits', '整数超出 64 位'],
  ['not a number', '不是数字'],
  ['is larger than {} MiB', '大于 {} MiB'],
  ['is longer than {} bytes', '超过 {} 字节'],
  ['the configuration is larger than {} MiB', '配置大于 {} MiB'],
  [
    'is for services without routes: one connection to a node carries requests of many clients, which X-Forwarded-For tells',
    '用于没有路由的服务：到节点的一个连接承载多个客户端的请求，由 X-Forwarded-For 说明',
  ],
  // 保存前的检查
  ['must be {}, as a new {*} has one name', '应为 {}：新建的{}只有一个名称'],
  ['a {*} must be a table', '{}应为表'],
  ['is missing; a {*} needs a name', '缺少；{}需要名称'],
  ['more than one of the changes is about it', '有多项修改涉及它'],
  [
    'is encrypted, and coregate-admin was started without the key for it (--key-file)',
    '已加密，而 coregate-admin 启动时没有给出对应的密钥（--key-file）',
  ],
  [
    'cannot be stored: coregate-admin was started without a key to encrypt it with (--key-file or COREGATE_ADMIN_KEY)',
    '无法保存：coregate-admin 启动时没有给出加密用的密钥（--key-file 或 COREGATE_ADMIN_KEY）',
  ],
  [
    'the key of {} cannot be opened: it was sealed with another key than the one given (--key-file), or changed',
    '{} 的私钥无法解密：加密时用的不是现在给出的密钥（--key-file），或内容已被改动',
  ],
  ['the key could not be sealed', '私钥无法加密'],
  // 证书能否使用
  [
    'is not the key of the first certificate in {}, the leaf has to stand first',
    '不是 {} 中第一张证书的私钥；叶子证书应放在最前',
  ],
  ['the first certificate cannot be read ({})', '第一张证书无法读取（{}）'],
  [
    'is not a key that TLS can use: ECDSA (P-256, P-384, P-521), Ed25519 or RSA (2048 bits or more)',
    '不是 TLS 可用的私钥：应为 ECDSA（P-256、P-384、P-521）、Ed25519 或 RSA（2048 位以上）',
  ],
  ['holds more than {} certificates', '含有超过 {} 张证书'],
  ["certificate {} cannot be an authority's ({})", '第 {} 张证书不能作为签发机构的证书（{}）'],
  ['cannot be read ({*})', '无法读取（{}）'],
  ['is not a file', '不是文件'],
  ['has more than {} MiB', '超过 {} MiB'],
  ['is not whole PEM ({})', 'PEM 不完整（{}）'],
  [
    'holds a private key and no certificate; are chain and key exchanged?',
    '含有私钥而没有证书；chain 与 key 是否放反了？',
  ],
  [
    'is DER, not PEM; `openssl x509 -inform der` converts it',
    '是 DER 而不是 PEM；可用 `openssl x509 -inform der` 转换',
  ],
  [
    'holds certificates and no private key; are chain and key exchanged?',
    '含有证书而没有私钥；chain 与 key 是否放反了？',
  ],
  [
    'is DER, not PEM; `openssl pkey -inform der` converts it',
    '是 DER 而不是 PEM；可用 `openssl pkey -inform der` 转换',
  ],
  [
    'holds no whole private key in PEM (-----BEGIN PRIVATE KEY-----)',
    '没有完整的 PEM 私钥（-----BEGIN PRIVATE KEY-----）',
  ],
  ['is PEM, not DER', '是 PEM 而不是 DER'],
  ['is an OCSP response that tells of an error of the responder', '是报告响应方出错的 OCSP 响应'],
  ['is not whole', '不完整'],
  ['is not an OCSP response in DER (`openssl ocsp -respout`)', '不是 DER 格式的 OCSP 响应（`openssl ocsp -respout`）'],
  [
    'is not a name that a certificate can be for; upstream_tls.server_name sets another',
    '不是证书可以使用的名称；可用 upstream_tls.server_name 指定另一个',
  ],
  [
    "no root certificate to check a server's with: {*}; install ca-certificates, or name a PEM file in SSL_CERT_FILE; or set upstream_tls.ca",
    '没有用于验证服务器证书的根证书：{}；请安装 ca-certificates，用 SSL_CERT_FILE 指定 PEM 文件，或设置 upstream_tls.ca',
  ],
  ['none was found', '没有找到'],
]

/** 值的类型。 */
export const KINDS: Table = [
  [
    'a duration: a whole number and one of ms, s, m, h, d, such as "250ms" or "10s"',
    '时长：整数加 ms、s、m、h、d 之一，例如 "250ms" 或 "10s"',
  ],
  [
    'a size: a whole number and one of B, KiB, MiB, GiB, such as "16KiB", or a number of bytes',
    '大小：整数加 B、KiB、MiB、GiB 之一，例如 "16KiB"，或字节数',
  ],
  ['a whole number', '整数'],
  ['an integer', '整数'],
  ['a number', '数字'],
  ['a string', '字符串'],
  ['a boolean', '布尔值'],
  ['a list', '列表'],
  ['a table', '表'],
  ['a date', '日期'],
  ['any host', '任意主机'],
  ['true or false', 'true 或 false'],
]
