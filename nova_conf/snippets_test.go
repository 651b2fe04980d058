package novaconf

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// handWritten are whole files, and values of host, that once differed or easily could.
func handWritten() []string {
	files := []string{
		// Nothing, or next to it.
		"", "\n", " \n", "\t", "\f", "\v\n", "\u00a0", "\u0085", "\x1c", "\u2028", "#", ";", "# a\n; b\n", "\r", "\r\n\r\n", "\x00", "\x00\n",
		// Sections.
		"[kmip]", "[kmip]\n", "[kmip]\nhost=a", "[KMIP]\nhost=a\n", "[Kmip]\nhost=a\n", "[ kmip ]\nhost=a\n", "[kmip ]\nhost=a\n",
		"[kmip] \nhost=a\n", "[kmip]\t\nhost=a\n", "[kmip] # c\nhost=a\n", "[kmip] junk\nhost=a\n", "[kmip]]\nhost=a\n", "[[kmip]]\nhost=a\n",
		"[]\nhost=a\n", "[ ]\nhost=a\n", "[\nhost=a\n", "]\nhost=a\n", "[kmip\nhost=a\n", "[k]mip\n", "[kmip]x]\nhost=a\n", "[\"kmip\"]\nhost=a\n",
		"[\u212amip]\nhost=a\n", "[KM\u0130P]\nhost=a\n", "[km\u0131p]\nhost=a\n", "[kmip\u00a0]\nhost=a\n", "[kmip]\u00a0\nhost=a\n", "[kmip]\x1c\nhost=a\n",
		"\f[kmip]\nhost=a\n", " [kmip]\nhost=a\n", "\u00a0[kmip]\nhost=a\n", "[kmip]\n [other]\nhost=a\n", "[kmip]\nhost=a\n [other]\nport=1\n",
		"[kmip]\nhost=a\n[kmip]\nport=2\n", "[kmip]\nhost=a\n[other]\nalpha=1\n[KMIP]\nhost=b\n", "[KMIP]\nhost=a\n[kmip]\nhost=b\n[Kmip]\nhost=c\n",
		"[default]\nhost=x\n[kmip]\nmode=$host\n", "[Default]\nhost=x\n[kmip]\nmode=$host\n", "[DEFAULT]\nhost=x\n[kmip]\nhelper=$host|$foo\n",
		"[kmip.a]\nhost=x\n", "[kmip]\n[kmip.a]\nhost=x\n", "[a.kmip]\nhost=x\n", "[kmip]\nhost=a\n[]\n",
		// Before any section.
		"host=a\n", "host=a\n[kmip]\nhost=b\n", "# c\n[kmip]\nhost=b\n", "\ufeff[kmip]\nhost=b\n", "\ufeff# c\n[kmip]\nhost=b\n", "[kmip]\n\ufeffhost=b\n",
		"\ufeff", "junk\n", " host=a\n[kmip]\n", "\thost=a\n",
		// Assignments.
		"[kmip]\nhost\n", "[kmip]\nhost a\n", "[kmip]\n=a\n", "[kmip]\n:a\n", "[kmip]\n = a\n", "[kmip]\n\f= a\n", "[kmip]\n\u00a0=a\n", "[kmip]\n==\n",
		"[kmip]\nhost\u00a0=a\n", "[kmip]\nhost\f=\fa\f\n", "[kmip]\n\fhost=a\n", "[kmip]\n\u00a0host=a\n", "[kmip]\n\x1chost\x1d=\x1ea\x1f\n",
		"[kmip]\nhost:a\n", "[kmip]\nhost: a=b\n", "[kmip]\nhost = a:b\n", "[kmip]\nhost : v = w\n", "[kmip]\nhost=:a\n", "[kmip]\nhost:=a\n", "[kmip]\nhost==a\n",
		"[kmip]\nHOST=a\n", "[kmip]\nHost=a\nhost=b\n", "[kmip]\nhost=a\nhost=b\n", "[kmip]\nhost=a\nhost=\n", "[kmip]\n\"host\"=a\n", "[kmip]\n'host'=a\n", "[kmip]\n`host`=a\n",
		"[kmip]\n\"\"\"host\"\"\"=a\n", "[kmip]\n\"host=a\n", "[kmip]\n-=a\n-=b\n", "[kmip]\n#host=a\n", "[kmip]\n;host=a\n", "[kmip]\n\f#host=a\n", "[kmip]\n\f;=\n", "[kmip]\n\f[=]\n",
		"[kmip]\nconnect-timeout=9\nconnect_timeout=8\n", "[kmip]\nhost.x=a\n", "[kmip]\nho st=a\n", "[kmip]\nhost[]=a\n", "[kmip]\nhost+=a\n", "[kmip]\nexport host=a\n",
		// White space that parts lines for some.
		"[kmip]\rhost=a\r", "[kmip]\r\nhost=a\r\n", "[kmip]\n\rhost=a\n\r", "[kmip]\r\r\nhost=a\r\r\n b\r\n", "[kmip]\nhost=a\rport=7\n",
		"[kmip]\nhost=a\fport=7\n", "[kmip]\nhost=a\vport=7\n", "[kmip]\nhost=a\x1cport=7\n", "[kmip]\nhost=a\u0085port=7\n", "[kmip]\nhost=a\u2028port=7\n", "[kmip]\nhost=a\u2029 b\n",
		// Continuations.
		"[kmip]\nhost=a\n b\n", "[kmip]\nhost=a\n\tb\n", "[kmip]\nhost=a\n  b  \n   c\n", "[kmip]\nhost=\n a\n b\n", "[kmip]\nhost=\n\n a\n", "[kmip]\nhost=a\n\n b\n",
		"[kmip]\nhost=a\n \n b\n", "[kmip]\nhost=a\n#c\n b\n", "[kmip]\nhost=a\n #c\n b\n", "[kmip]\nhost=a\n ;c\n", "[kmip]\nhost=a\n port=b\n", "[kmip]\n a\n", "[kmip]\n\n a\n", "[kmip]\n# c\n a\n",
		" a\n[kmip]\n", "# c\n a\n", "[kmip]\nhost=a\n\fb\n", "[kmip]\nhost=a\n\u00a0b=c\n", "[kmip]\nhost=a\n \u00a0b\n", "[kmip]\nhost=a\n \f\n b\n", "[kmip]\nhost=a\n \x1c\n",
		"[kmip]\nhost=\"a\"\n \"b\"\n", "[kmip]\nhost=\"a\n b\"\n", "[kmip]\nhost=a\n 'b'\n", "[kmip]\nhost=\"\n \"\n", "[kmip]\nhost=\"a \"\n", "[kmip]\nhost=\" a\"\n  b\n",
		"[kmip]\nhost=a\\\n b\n", "[kmip]\nhost=a\\\nport=7\n", "[kmip]\nhost=a \\\n\nport=7\n", "[kmip]\nhost=$\n port\n", "[kmip]\nhost=${\n port}\n", "[kmip]\nhost=$po\n rt\n",
		"[kmip]\nhost=a\n [DEFAULT]\n", "[kmip]\nhost=\n a\n[other]\n", "[kmip]\nhost=a\n b", "[kmip]\nhost=a\n b\n\n\n", "[kmip]\r\nhost=a\r\n b\r\n\r\n c\r\n",
		// Not UTF-8.
		"[kmip]\nhost=\xff\n", "\xff\xfe[\x00", "\xfe\xff", "[kmip]\nhost=a\n#\xe9\n", "[kmip]\nhost=\xed\xa0\x80\n", "[kmip]\nhost=\xc0\x80\n", "[kmip]\nhost=\xf4\x90\x80\x80\n", "[kmip]\nhost=\xe2\x82\n",
		"[kmip]\nhost=\ufffd\U0010ffff\n", "[kmip]\nhost=a\x00b\n", "[k\x00mip]\nhost=a\n", "[kmip]\nho\x00st=a\n", "[kmip]\nhost=\x00\n \x00\n",
		// References across groups and options.
		"[kmip]\nhost=$my_ip\n[DEFAULT]\nmy_ip=1\n", "[kmip]\nhost=$my_ip\n", "[kmip]\nhost=$state_path/x\n", "[DEFAULT]\nstate_path=/s\n[kmip]\nhost=$state_path/x\n",
		"[DEFAULT]\nfoo=$bar\nbar=$my_ip\nmy_ip=1\n[kmip]\nhost=$foo\n", "[DEFAULT]\nfoo=$foo\n[kmip]\nhost=$foo\n", "[DEFAULT]\nfoo=$bar\nbar=$foo\n[kmip]\nhost=$foo\nport=$bar\n",
		"[DEFAULT]\nhost=d\n[kmip]\nhost=$host\n", "[DEFAULT]\nhost=d\n[kmip]\nport=$host\n", "[DEFAULT]\nfoo=$host\n[kmip]\nport=$foo\nhost=k\n", "[DEFAULT]\nfoo=$host\nhost=d\n[kmip]\nport=$foo\nhost=k\n",
		"[DEFAULT]\nfoo=$kmip.host\n[kmip]\nport=$foo\nhost=k\n", "[DEFAULT]\nfoo=${kmip.port}\n[kmip]\nport=$foo\nhost=k\n", "[other]\nalpha=$beta\nbeta=1\n[kmip]\nhost=$other.alpha\n",
		"[other]\nalpha=$beta\n[kmip]\nhost=$other.alpha\n", "[other]\nalpha=$foo\n[DEFAULT]\nfoo=1\n[kmip]\nhost=$other.alpha\n", "[other]\nalpha=$my_ip\n[DEFAULT]\nmy_ip=1\n[kmip]\nhost=$other.alpha\n",
		"[OTHER]\nalpha=1\n[kmip]\nhost=$other.alpha\n", "[OTHER]\nalpha=1\n[kmip]\nhost=$OTHER.alpha\n", "[DEFAULT]\nfoo=1\n[kmip]\nhost=$DEFAULT.foo\n", "[DEFAULT]\nfoo=1\n[kmip]\nhost=$default.foo\n",
		"[kmip]\nhost=$kmip\n", "[kmip]\nhost=$other\n[other]\n", "[DEFAULT]\nfoo=1\n[kmip]\nhost=$foo\n[foo]\n", "[kmip]\nhost=$other\n[DEFAULT]\nother=1\n[other]\n", "[kmip]\nhost=$kmip.port\n", "[kmip]\nhost=$KMIP.port\n", "[kmip]\nhost=${kmip.port}:${ kmip.port }\n",
		"[kmip]\nnosuch=1\nhost=$nosuch\n", "[kmip]\nmy_ip=1\nhost=$my_ip\n", "[kmip]\nmy_ip=1\nhost=$my_ip\n[DEFAULT]\nmy_ip=2\n", "[kmip]\nnosuch=1\nhost=$kmip.nosuch\n", "[kmip]\nhost=$kmip.foo\n[DEFAULT]\nfoo=2\n",
		"[kmip]\nhost=$helper\nhelper=$kmip.nosuch\n[DEFAULT]\nfoo=2\n", "[kmip]\nhelper=$port\nport=$kmip.nosuch\n[DEFAULT]\nport=2\n", "[kmip]\nhost=$other.nosuch\n[other]\nalpha=1\n", "[kmip]\nhost=$nosuchgroup.a\n",
		"[kmip]\nhost=$kmip_service_user.username\n[kmip_service_user]\nusername=u\npassword=p$$w\n", "[kmip]\nusername=$kmip_service_user.password\n[kmip_service_user]\npassword=p$w\n",
		"[kmip]\npassword=$p\n", "[kmip]\npassword=p$$w\nusername=$password\n", "[kmip]\nhost=$config_file\n", "[DEFAULT]\nconfig_file=$nosuch\n[kmip]\nhost=a\n", "[DEFAULT]\nconfig_dir=${nosuch}\n", "[DEFAULT]\nconfig_source=$nosuch\n",
		"[DEFAULT]\nconfig_source=one\n[kmip]\nhost=a\n", "[DEFAULT]\nconfig_source=$kmip.host\n[kmip]\nhost=a\n", "[DEFAULT]\nconfig_file=$foo\nfoo=1\n",
		// Large.
		"[kmip]\nhost=" + strings.Repeat("x", 300_000) + "\nport=1\n", "[kmip]\nhost=a" + strings.Repeat("\n x", 5000) + "\n", strings.Repeat("# comment\n", 20_000) + "[kmip]\nhost=a\n", "[kmip]\n" + strings.Repeat("host=a\n", 1000) + "host=b\n",
		"[kmip]\n" + numbered(1000) + "host=b\n", "[kmip]\nhost=a\n" + numbered(1000),
	}
	for _, value := range values() {
		files = append(files, "[DEFAULT]\nfoo = f\n[kmip]\nhost = "+value+"\nport = 5\n")
	}
	return files
}

func numbered(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "o%d = %d\n", i, i)
	}
	return text.String()
}

func values() []string {
	return []string{
		"a # b", "a ; b", "a #b", "#a", ";a", "a;b#c", "%(port)s", "%(x", "%", "%%", `a\`, `a\n`, `\`, `\\`, `a \ b`,
		`"a"`, `'a'`, `"a'`, `'a"`, `"`, `'`, `""`, `''`, `"""`, `"""a"""`, `'''a'''`, "`a`", "`a", "`", `""a""`, `"a"b"`, `"a" "b"`, `" a "`, `"a" # c`, `a"`, `"a`, `"a","b"`, `"\u00a0"`, `"\x1c"`, "\"\u00a0a\"",
		"$port", "${port}", "$port$port", "$port.", "$port.x", "${port}.x", "$port-x", "$port_x", "${port}x", "$portx", "$ port", "${ port}", "${port", "$port}", "${}", "${", "$", "$$", "$$$", "$$$$", "$$port", "$$$port", "$$$$port", "$${port}",
		`\$`, `\$port`, `\\$port`, `\\\$port`, `\$$port`, `\$\$port`, `\${port}`, `a\$b`, `$\port`, `$\$`, `$1`, `$1port`, `${1}`, `$é`, `$éa`, `$port\u00e9`, "$porté", "$ſ", "$\u212a", "$a\u0130", "$\u0131", "${ſ}", "$\u0660", "$port\u0660", "$port²",
		"$_", "$_x", "$.", "$.port", "${.port}", "$-", "$(port)", "$[port]", "$Port", "$PORT", "${Port}", "$kmip.", "$kmip..port", "${kmip.port.x}", "$kmip.port.x", "${kmip.port}.x", "$foo", "${foo}", "$DEFAULT", "$kmip", "$DEFAULT.foo",
		"$host", "${host}", "$kmip.host", "$username", "[$username]", "$certfile$keyfile", "$mode", "$timeout", "$retry_interval", "$activate", "$no", "$nosuch", "${nosuch}", "$nosuch.x", "$username.", "$tls_min_version", "$$nosuch", `\$nosuch`,
		"a\tb", "a  b", "\ta", "a\t", "\u00a0a\u00a0", "\x1ca", "a\u2003", "\u3000a", "\u200ba", "\u180ea", "\ufeffa", "a\u0000", "a=b", "a:b", "=a", ":a", "= a", "[a]", "[kmip]", "{a}", "<a>", "key: v = w", "\U0001f511",
	}
}

// grammar draws files from pieces that are awkward next to one another.
type grammar struct{ *rand.Rand }

func (g grammar) pick(pieces ...string) string { return pieces[g.IntN(len(pieces))] }

// settable are the options that the grammar sets, in any group.
var settable = []string{"host", "port", "username", "password", "helper", "mode", "my_ip", "foo", "bar", "alpha", "beta", "state_path"}

func (g grammar) file() string {
	var text strings.Builder
	if g.IntN(12) > 0 {
		text.WriteString("[kmip]" + g.newline())
	}
	for range g.IntN(10) {
		text.WriteString(g.line() + g.newline())
	}
	return text.String()
}

func (g grammar) newline() string {
	if g.IntN(10) > 0 {
		return "\n"
	}
	return g.pick("\r\n", "\r", "\n\n", " \n", "\f\n", "\u0085\n", "\x1c\n", "")
}

func (g grammar) line() string {
	switch g.IntN(12) {
	case 0:
		return g.section()
	case 1:
		return g.pick("#", ";", "# ") + g.value()
	case 2:
		return g.pick(" ", "\t", "  ", " \u00a0", " \f", " #") + g.value()
	case 4:
		return g.pick("", "", "", "", " ", "\t", "\f", "\u00a0", "\u2028", "# a", "; b", "junk", "=x")
	}
	text := g.option() + g.space() + g.pick("=", "=", "=", ":", "==", " = ") + g.space() + g.value()
	for g.IntN(4) == 0 {
		text += g.newline() + g.pick(" ", "\t", "  ", " \u00a0", "\t\f", " #") + g.value()
	}
	return text
}

func (g grammar) section() string {
	if g.IntN(3) > 0 {
		return g.pick("[kmip]", "[DEFAULT]", "[other]", "[kmip_service_user]")
	}
	return g.pick("[KMIP]", "[\u212amip]", "[ kmip ]", "[kmip] ", "[other]]", "[Default]", "[kmip]\f", "[OTHER]", "[x.y]", "[ ]", "[[kmip]", "[KM\u0130P]", "[kmip")
}

func (g grammar) option() string {
	if g.IntN(20) == 0 {
		return g.pick("", "Host", "\"host\"", "`a", "-", "h st", "\fport", "\u00a0port", "$port", "\ufeffport")
	}
	return g.pick(settable...)
}

func (g grammar) space() string {
	if g.IntN(4) > 0 {
		return ""
	}
	return g.pick(" ", "\t", "\f", "\v", "\u00a0", "\x1c", "\x1f", "\u2028", "\u3000", "\u200b")
}

func (g grammar) value() string {
	var text strings.Builder
	for range g.IntN(4) {
		text.WriteString(g.piece())
	}
	return text.String()
}

func (g grammar) piece() string {
	switch g.IntN(6) {
	case 0:
		return g.pick("$", "${", "${ ", "$$", `\$`) + g.reference() + g.pick("", "}", ".", "\u017f")
	case 1, 2:
		return g.pick("$"+g.reference(), "${"+g.reference()+"}")
	case 3:
		return g.pick(`"`, `'`, "`", `"""`, `\`, "#", ";", "%(a)s", "=", ":", ",", "[", "]", "{", "}", "$", `\\`)
	case 4:
		return g.space()
	}
	return g.pick("a", "kms1", "5696", "é", "true", "\x00", "\u212a", "日本")
}

func (g grammar) reference() string {
	if g.IntN(8) == 0 {
		return g.pick("", "nosuch", "kmip", "other", "KMIP.port", "DEFAULT.foo", "default.foo", "default.my_ip", "Port", "1", "\u017f", "kmip.nosuch", "port.", "other.", ".x", "kmip.port.x", "nosuch.x")
	}
	return g.pick("port", "host", "username", "mode", "my_ip", "foo", "bar", "helper", "timeout", "state_path", "kmip.port", "kmip.helper", "other.alpha", "other.beta", "kmip_service_user.username")
}

// environment sets a few variables, none with a NUL, which no environment can hold.
func (g grammar) environment() map[string]string {
	env := map[string]string{}
	for range max(0, g.IntN(8)-5) {
		name := g.pick("OS_KMIP__HOST", "OS_KMIP__PORT", "OS_DEFAULT__FOO", "OS_DEFAULT__MY_IP", "OS_OTHER__ALPHA", "os_kmip__host", "OS_KMIP_HOST", "OS_KMIP__host", "OS_KMIP__USERNAME", "OS_KMIP__PASSWORD")
		env[name] = strings.ReplaceAll(g.value(), "\x00", "")
	}
	return env
}
