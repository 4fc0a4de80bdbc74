-- A gogate database as its own script makes it, with rows of every kind: ones that are right, ones that look wrong, deleted
-- ones. @HTTP@, @TCP@ and so on stand for ports that the test has taken.

CREATE TABLE gateway_admin (
  id bigint(20) NOT NULL AUTO_INCREMENT PRIMARY KEY,
  user_name varchar(255) NOT NULL DEFAULT '',
  salt varchar(50) NOT NULL DEFAULT '',
  password varchar(255) NOT NULL DEFAULT '',
  create_at datetime NOT NULL DEFAULT '1971-01-01 00:00:00',
  update_at datetime NOT NULL DEFAULT '1971-01-01 00:00:00',
  is_delete tinyint(4) NOT NULL DEFAULT 0
) ENGINE=InnoDB DEFAULT CHARSET=utf8;

CREATE TABLE gateway_app (
  id bigint(20) unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
  app_id varchar(255) NOT NULL DEFAULT '' COMMENT '租户id',
  name varchar(255) NOT NULL DEFAULT '' COMMENT '租户名称',
  secret varchar(255) NOT NULL DEFAULT '' COMMENT '密钥',
  white_ips varchar(1000) NOT NULL DEFAULT '' COMMENT 'ip白名单',
  qpd bigint(20) NOT NULL DEFAULT 0 COMMENT '日请求量限制',
  qps bigint(20) NOT NULL DEFAULT 0 COMMENT '每秒请求量限制',
  create_at datetime NOT NULL,
  update_at datetime NOT NULL,
  is_delete tinyint(4) NOT NULL DEFAULT 0
) ENGINE=InnoDB DEFAULT CHARSET=utf8;

INSERT INTO gateway_app VALUES
  (31, 'app_id_a', '租户A', '449441eb5e72dca9c42a12f3924ea3a2', '', 100000, 0, '2020-04-15 20:55:02', '2020-04-21 07:23:34', 0),
  (32, 'app_id_b', '租户B', '8d7b11ec9be0e59a36b52f32366c09cb', '10.9.9.9', 20, 2, '2020-04-15 21:40:52', '2020-04-21 07:23:27', 0),
  (33, 'app_id', '租户名称', '', '', 0, 0, '2020-04-15 22:02:23', '2020-04-15 22:06:51', 1);

CREATE TABLE gateway_service_info (
  id bigint(20) unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
  load_type tinyint(4) NOT NULL DEFAULT 0 COMMENT '负载类型 0=http 1=tcp 2=grpc',
  service_name varchar(255) NOT NULL DEFAULT '' COMMENT '服务名称 6-128 数字字母下划线',
  service_desc varchar(255) NOT NULL DEFAULT '' COMMENT '服务描述',
  create_at datetime NOT NULL DEFAULT '1971-01-01 00:00:00',
  update_at datetime NOT NULL DEFAULT '1971-01-01 00:00:00',
  is_delete tinyint(4) DEFAULT 0
) ENGINE=InnoDB DEFAULT CHARSET=utf8;

INSERT INTO gateway_service_info (id, load_type, service_name, service_desc, is_delete) VALUES
  (34, 0, 'websocket_test', 'deleted long ago', 1),
  (35, 0, 'test_http_1', '前缀服务', 0),
  (36, 0, 'test_host', 'by host', 0),
  (37, 0, 'test_white', 'white list', 0),
  (38, 0, 'test_black', 'black list', 0),
  (39, 0, 'test_limit', 'limited', NULL),
  (40, 0, 'test_tenant', 'for tenants', 0),
  (41, 1, 'test_tcp', 'tcp', 0),
  (42, 1, 'test_tcp_again', 'the same port', 0),
  (43, 2, 'test_grpc', 'grpc', 0),
  (44, 0, 'name with spaces', 'a name that breaks the rules', 0),
  (45, 0, 'test_empty', 'an empty prefix', 0),
  (46, 0, 'test_lists_off', 'lists without open_auth', 0);

CREATE TABLE gateway_service_http_rule (
  id bigint(20) NOT NULL AUTO_INCREMENT PRIMARY KEY,
  service_id bigint(20) NOT NULL,
  rule_type tinyint(4) NOT NULL DEFAULT 0 COMMENT '匹配类型 0=url前缀url_prefix 1=域名domain',
  rule varchar(255) NOT NULL DEFAULT '',
  need_https tinyint(4) NOT NULL DEFAULT 0,
  need_strip_uri tinyint(4) NOT NULL DEFAULT 0,
  need_websocket tinyint(4) NOT NULL DEFAULT 0,
  url_rewrite varchar(5000) NOT NULL DEFAULT '',
  header_transfor varchar(5000) NOT NULL DEFAULT ''
) ENGINE=InnoDB DEFAULT CHARSET=utf8;

INSERT INTO gateway_service_http_rule
  (service_id, rule_type, rule, need_https, need_strip_uri, need_websocket, url_rewrite, header_transfor) VALUES
  (34, 0, '/websocket', 0, 0, 1, '', ''),
  (35, 0, '/test_http_1', 0, 1, 1, '^/old/(.*) /new/$1', 'add x-gateway gogate,del x-secret none,broken'),
  (36, 1, 'www.test.com', 1, 0, 1, '', ''),
  (37, 0, '/test_white', 0, 0, 1, '', ''),
  (38, 0, '/test_black', 0, 0, 1, '', ''),
  (39, 0, '/test_limit', 0, 0, 1, '', ''),
  (40, 0, '/test_tenant', 0, 0, 1, '', ''),
  (44, 0, '/spaces', 0, 0, 0, '', ''),
  (45, 0, '', 0, 0, 1, '', ''),
  (46, 0, '/test_lists_off', 0, 0, 1, '', ''),
  (99, 0, '/nobody', 0, 0, 1, '', '');

CREATE TABLE gateway_service_tcp_rule (
  id bigint(20) NOT NULL AUTO_INCREMENT PRIMARY KEY,
  service_id bigint(20) NOT NULL,
  port int(5) NOT NULL DEFAULT 0
) ENGINE=InnoDB DEFAULT CHARSET=utf8;

INSERT INTO gateway_service_tcp_rule (service_id, port) VALUES (41, @TCP@), (42, @TCP@);

CREATE TABLE gateway_service_grpc_rule (
  id bigint(20) NOT NULL AUTO_INCREMENT PRIMARY KEY,
  service_id bigint(20) NOT NULL DEFAULT 0,
  port int(5) NOT NULL DEFAULT 0,
  header_transfor varchar(5000) NOT NULL DEFAULT ''
) ENGINE=InnoDB DEFAULT CHARSET=utf8;

INSERT INTO gateway_service_grpc_rule (service_id, port, header_transfor) VALUES (43, @GRPC@, 'add metadata 1');

CREATE TABLE gateway_service_access_control (
  id bigint(20) NOT NULL AUTO_INCREMENT PRIMARY KEY,
  service_id bigint(20) NOT NULL DEFAULT 0,
  open_auth tinyint(4) NOT NULL DEFAULT 0,
  black_list varchar(1000) NOT NULL DEFAULT '',
  white_list varchar(1000) NOT NULL DEFAULT '',
  white_host_name varchar(1000) NOT NULL DEFAULT '',
  clientip_flow_limit int(11) NOT NULL DEFAULT 0,
  service_flow_limit int(20) NOT NULL DEFAULT 0
) ENGINE=InnoDB DEFAULT CHARSET=utf8;

INSERT INTO gateway_service_access_control
  (service_id, open_auth, black_list, white_list, white_host_name, clientip_flow_limit, service_flow_limit) VALUES
  (35, 0, '', '', '', 0, 0),
  (37, 1, '127.0.0.1', '127.0.0.1,127.0.0.2', '', 0, 0),
  (38, 1, '127.0.0.1', '', 'www.a.com', 0, 0),
  (39, 0, '', '', '', 1, 0),
  (40, 1, '', '', '', 0, 0),
  (41, 0, '', '', '', 0, 0),
  (43, 0, '', '', '', 0, 100),
  (46, 0, '127.0.0.1', '', '', 0, 0);

CREATE TABLE gateway_service_load_balance (
  id bigint(20) NOT NULL AUTO_INCREMENT PRIMARY KEY,
  service_id bigint(20) NOT NULL DEFAULT 0,
  check_method tinyint(20) NOT NULL DEFAULT 0,
  check_timeout int(10) NOT NULL DEFAULT 0,
  check_interval int(11) NOT NULL DEFAULT 0,
  round_type tinyint(4) NOT NULL DEFAULT 2,
  ip_list varchar(2000) NOT NULL DEFAULT '',
  weight_list varchar(2000) NOT NULL DEFAULT '',
  forbid_list varchar(2000) NOT NULL DEFAULT '',
  upstream_connect_timeout int(11) NOT NULL DEFAULT 0,
  upstream_header_timeout int(11) NOT NULL DEFAULT 0,
  upstream_idle_timeout int(10) NOT NULL DEFAULT 0,
  upstream_max_idle int(11) NOT NULL DEFAULT 0
) ENGINE=InnoDB DEFAULT CHARSET=utf8;

INSERT INTO gateway_service_load_balance
  (service_id, check_method, check_timeout, check_interval, round_type, ip_list, weight_list, forbid_list,
   upstream_connect_timeout, upstream_header_timeout, upstream_idle_timeout, upstream_max_idle) VALUES
  (35, 0, 2, 5, 2, '@HTTP@,@HTTP2@,192.0.2.1:80', '50,50,50', '192.0.2.1:80', 10, 3000, 0, 0),
  (36, 0, 2, 5, 1, '@HTTP@', '50', '', 0, 0, 0, 0),
  (37, 0, 2, 5, 1, '@HTTP@', '50', '', 0, 0, 0, 0),
  (38, 0, 2, 5, 1, '@HTTP@', '50', '', 0, 0, 0, 0),
  (39, 0, 2, 5, 1, '@HTTP@', '50', '', 0, 0, 0, 0),
  (40, 0, 2, 5, 3, '@HTTP@', '50', '', 0, 0, 0, 0),
  (41, 0, 2, 5, 1, '@ECHO@', '50', '', 0, 0, 0, 0),
  (42, 0, 2, 5, 1, '@ECHO@', '50', '', 0, 0, 0, 0),
  (43, 0, 2, 5, 1, '@ECHO@', '50', '', 0, 0, 0, 0),
  (44, 0, 2, 5, 0, '@HTTP@', '50', '', 0, 0, 0, 0),
  (45, 0, 2, 5, 1, '@HTTP2@', '50', '', 0, 0, 0, 0),
  (46, 0, 2, 5, 1, '@HTTP@', '50', '', 0, 0, 0, 0);
