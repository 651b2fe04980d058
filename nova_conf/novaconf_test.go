package novaconf

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/internal/secret"
)

const required = "certfile = /c.pem\nkeyfile = /k.pem\nca_certs = /ca.pem\n"

func kmip(t *testing.T, lines string, environ ...string) (*KMIP, error) {
	t.Helper()
	files, err := load(t, t.TempDir(), "[kmip]\n"+required+lines, environ...)
	require.NoError(t, err)
	return files.KMIP()
}

func TestDefaults(t *testing.T) {
	k, err := kmip(t, "")
	require.NoError(t, err)
	require.Equal(t, &KMIP{
		Hosts: []Host{{"localhost", 5696}}, Port: 5696,
		CertFile: "/c.pem", KeyFile: "/k.pem", CACerts: "/ca.pem",
		TLSMinVersion: tls.VersionTLS12, KMIPVersion: "auto",
		ConnectTimeout: 5 * time.Second, Timeout: 30 * time.Second, MaxRetries: 3, RetryInterval: 500 * time.Millisecond,
		Activate: true, ProjectIsolation: true, HelperMode: "exec",
	}, k)
}

func TestEveryOption(t *testing.T) {
	k, err := kmip(t, `host = kms1, kms2:1,[::1],[fe80::1%eth0]:2 , 192.0.2.1:3
port = +5_700
server_name = kms.example.com
tls_min_version = 1.3
tls_ciphers = TLS_RSA_WITH_AES_128_CBC_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
username = "nova "
password = 'pa$$wd'
mode = integrated
tokenless = service
kmip_version = 1.4
connect_timeout = 1e-1
timeout = 1_0.5
max_retries = 0
retry_interval = 0
activate = Off
project_isolation = 0
object_group = nova
helper = /usr/bin/helper
helper_mode = session
`)
	require.NoError(t, err)
	require.Equal(t, &KMIP{
		Hosts: []Host{{"kms1", 5700}, {"kms2", 1}, {"::1", 5700}, {"fe80::1%eth0", 2}, {"192.0.2.1", 3}}, Port: 5700,
		CertFile: "/c.pem", KeyFile: "/k.pem", CACerts: "/ca.pem", ServerName: "kms.example.com",
		TLSMinVersion: tls.VersionTLS13, TLSCiphers: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256},
		Username: "nova ", Password: secret.Bytes("pa$wd"), Integrated: true, TokenlessService: true, KMIPVersion: "1.4",
		ConnectTimeout: 100 * time.Millisecond, Timeout: 10500 * time.Millisecond,
		ObjectGroup: "nova", Helper: "/usr/bin/helper", HelperMode: "session",
	}, k)
}

func TestRefusedValues(t *testing.T) {
	for _, test := range []struct{ name, line, reason string }{
		{"no host", "host =", `"" is empty`},
		{"only commas", "host = ,,", `",," is empty`},
		{"an empty host", "host = a,,b", `"a,,b" holds a host that is not a name or address: ""`},
		{"a URL", "host = https://kms", `is not a name or address: "https://kms"`},
		{"bare IPv6", "host = ::1", "is an IPv6 address without brackets"},
		{"brackets around a name", "host = [kms]", "is not an IPv6 address in brackets"},
		{"brackets left open", "host = [::1", "is not an IPv6 address in brackets"},
		{"junk after brackets", "host = [::1]5", "is not an IPv6 address in brackets"},
		{"no port after the colon", "host = kms:", "has no port from 1 to 65535"},
		{"port 0 of a host", "host = kms:0", "has no port from 1 to 65535"},
		{"port too large", "host = kms:65536", "has no port from 1 to 65535"},
		{"port 0", "port = 0", "is not a whole number from 1 to 65535"},
		{"port empty", "port =", `"" is not a whole number`},
		{"port in words", "port = kmip", `"kmip" is not a whole number`},
		{"no certificate", "certfile =", "is required and empty"},
		{"NUL in a path", "keyfile = a\x00b", "NUL"},
		{"server name", "server_name = a b", "is not a name or address"},
		{"old TLS", "tls_min_version = 1.1", "is not one of 1.2, 1.3"},
		{"unknown cipher", "tls_ciphers = AES", "names a cipher suite that Go does not have"},
		{"TLS 1.3 cipher", "tls_ciphers = TLS_AES_128_GCM_SHA256", "a suite of TLS 1.3"},
		{"mode", "mode = Standalone", `"Standalone" is not one of standalone, integrated`},
		{"tokenless", "tokenless = yes", "is not one of refuse, service"},
		{"version", "kmip_version = 3.0", "is not one of auto"},
		{"no time", "timeout = 0", "is too short a time"},
		{"less than a nanosecond", "connect_timeout = 1e-12", "is too short a time"},
		{"negative time", "retry_interval = -1", "is too short a time"},
		{"for ever", "timeout = inf", "is not a number of seconds"},
		{"NaN", "timeout = nan", "is not a number of seconds"},
		{"hexadecimal", "timeout = 0x10", "is not a number of seconds"},
		{"a unit", "timeout = 5s", "is not a number of seconds"},
		{"retries", "max_retries = -1", "is not a whole number from 0"},
		{"boolean", "activate = maybe", `"maybe" is not one of true`},
		{"helper mode", "helper_mode = daemon", "is not one of exec, session"},
		{"unknown reference", "host = $my_ip", "$my_ip: no file sets it, and Nova's own default is not known here"},
		{"through another option", "host = $helper\nhelper = $my_ip", "$helper: $my_ip: no file sets it"},
		{"no such option", "host = $kmip.nosuch", "$kmip.nosuch: there is no such option"},
		{"an option of another section", "host = ${other.port}", "$other.port: no file sets it"},
		{"cycle", "host = $helper\nhelper = ${host}", "refers back to itself"},
		{"password alone", "password = x", "needs a username"},
		{"no room for two credentials", "kmip_version = 1.1\nmode = integrated\nusername = x", "must be 1.2 or later"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := kmip(t, test.line)
			var ours *Error
			require.ErrorAs(t, err, &ours)
			require.Contains(t, ours.Reason, test.reason)
			option, _, _ := strings.Cut(test.line, " ")
			require.Equal(t, option, ours.Option)
			require.Equal(t, 5, ours.Line)
			require.Contains(t, err.Error(), "nova.conf:5: [kmip] "+option+": ")
		})
	}
}

// TestLongValues: one of megabytes would go into Nova's log as a whole.
func TestLongValues(t *testing.T) {
	_, err := kmip(t, "port = "+strings.Repeat("9", 1<<20))
	require.ErrorContains(t, err, `port: "999`)
	require.Less(t, len(err.Error()), 500)
}

func TestRequired(t *testing.T) {
	files, err := load(t, t.TempDir(), "[kmip]\nkeyfile=/k\nca_certs=/c\n")
	require.NoError(t, err)
	_, err = files.KMIP()
	require.ErrorContains(t, err, "nova.conf: [kmip] certfile: is required and not set")
	_, err = (&Files{texts: map[name]*result{}}).KMIP() // as on a machine without any of the default files
	require.ErrorContains(t, err, "no configuration file found: [kmip] certfile: ")
}

func TestEnvironmentError(t *testing.T) {
	_, err := kmip(t, "port = 1", "OS_KMIP__PORT=x", "OS_KMIP__PORT=2")
	require.EqualError(t, err, `environment OS_KMIP__PORT: "x" is not a whole number from 1 to 65535`)
	_, err = kmip(t, "", "OS_KMIP__OBJECT_GROUP=\xff")
	require.EqualError(t, err, "environment OS_KMIP__OBJECT_GROUP: not UTF-8")
}

func TestRefusedFiles(t *testing.T) {
	for _, test := range []struct {
		name, text string
		line       int
	}{
		{"no section", "\nhost = a\n", 2},
		{"no equals sign", "[kmip]\r\n\r\nhost\r\n", 3},
		{"no name", "[kmip]\n# c\n= a\n", 3},
		{"section left open", "[kmip\n", 1},
		{"section without name", "[]\n", 1},
		{"continuation of nothing", "[kmip]\rhost=a\r\r b\r", 4},
		{"Latin-1", "[kmip]\n# caf\xe9\n", 2},
		{"config_source", "[DEFAULT]\nconfig_source = one,two\n[two]\ndriver = remote_file\n", 4},
		{"config_file with an unknown reference", "[DEFAULT]\nconfig_file = $nosuch\n", 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := load(t, t.TempDir(), test.text)
			var ours *Error
			require.ErrorAs(t, err, &ours)
			require.Equal(t, test.line, ours.Line)
			require.Contains(t, err.Error(), "nova.conf:"+strconv.Itoa(test.line)+": ")
		})
	}
}

func TestErrorsHideLines(t *testing.T) {
	for _, text := range []string{"[kmip]\nhunter2\n", "hunter2=1\n", "[kmip]\npassword=a\n\n hunter2\n", "[hunter2\n"} {
		_, err := load(t, t.TempDir(), text)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestEffective(t *testing.T) {
	files, err := load(t, t.TempDir(), `[kmip]
host = $server_name:$port
server_name = kms
password = p$wd
username = $password
object_group = u-${kmip_service_user.password}
certfile = $nosuch/c
activate = perhaps
[kmip_service_user]
password = x
`)
	require.NoError(t, err)
	for option, want := range map[string]string{
		"host": "kms:5696", "server_name": "kms", "password": "***", "username": "$password", "object_group": "***",
		"certfile": "$nosuch/c", "activate": "perhaps", "port": "5696", "retry_interval": "0.5",
	} {
		require.Equal(t, &want, files.Effective()[option], option)
	}
	require.Nil(t, files.Effective()["helper"])
	require.Len(t, files.Effective(), 22)
}

// TestSecretsOfOtherSections: check and errors would show what another section keeps in an option that is referred to.
func TestSecretsOfOtherSections(t *testing.T) {
	for _, option := range []string{"admin_pass", "metadata_shared_secret", "token", "credential", "connection", "transport_url"} {
		lines := "object_group = ${other." + option + "}\nport = $object_group\n[other]\n" + option + " = hunter2\n"
		files, err := load(t, t.TempDir(), "[kmip]\n"+required+lines)
		require.NoError(t, err)
		require.Equal(t, "***", *files.Effective()["object_group"], option)
		_, err = files.KMIP()
		require.ErrorContains(t, err, "refers to a secret")
		require.NotContains(t, err.Error(), "hunter2")
	}
}

// TestRoomForCredentials: only a token and a password together need KMIP 1.2.
func TestRoomForCredentials(t *testing.T) {
	for lines, fits := range map[string]bool{
		"mode = integrated\nkmip_version = 1.0":               true,
		"username = x\nkmip_version = 1.0":                    true,
		"mode = integrated\nusername = x":                     true,
		"mode = integrated\nusername = x\nkmip_version = 1.2": true,
		"mode = integrated\nusername = x\nkmip_version = 1.0": false,
	} {
		_, err := kmip(t, lines)
		require.Equal(t, fits, err == nil, lines)
	}
}

func TestText(t *testing.T) {
	files, err := load(t, t.TempDir(), "[kmip_service_user]\nAuth=no\nauth_url = http://$username\nusername = u\npassword = \"a\n")
	require.NoError(t, err)
	text, ok, err := files.Text("kmip_service_user", "auth_url")
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "http://u", text)
	_, ok, err = files.Text("kmip_service_user", "auth")
	require.NoError(t, err)
	require.False(t, ok)
	require.Len(t, files.Paths(), 1)
}

func TestSpecialFiles(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe.conf")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	for path, reason := range map[string]string{
		pipe:        "cannot be read: it is a pipe",
		"/dev/zero": "cannot be read: it is a device",
		dir:         "cannot be read: it is a directory",
		dir + "/no": "cannot be read: no such file or directory",
	} {
		_, err := Load([]Source{{Path: path}}, nil)
		require.EqualError(t, err, path+": "+reason)
	}
	_, err := Load([]Source{{Path: "/dev/null"}}, nil)
	require.NoError(t, err)
	_, err = Load([]Source{{Path: dir, Dir: true}}, nil)
	require.EqualError(t, err, pipe+": cannot be read: it is a pipe")
}

// A file that cannot be read is an error and not an empty one, whoever runs this.
func TestUnreadable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nova.conf")
	require.NoError(t, os.WriteFile(path, nil, 0))
	var err error
	AsNobody(func() { _, err = Load([]Source{{Path: path}}, nil) })
	require.EqualError(t, err, path+": cannot be read: permission denied")
	_, err = Load([]Source{{Path: path + "/nova.conf"}}, nil)
	require.EqualError(t, err, path+"/nova.conf: cannot be read: not a directory")
}

// AsNobody does something without root's right to read everything.
func AsNobody(do func()) {
	if os.Geteuid() != 0 {
		do()
		return
	}
	const nobody = 65534
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and the thread ends with the goroutine
		_, _, _ = syscall.RawSyscall(syscall.SYS_SETFSUID, nobody, 0, 0)
		do()
	}()
	<-done
}

func TestDirectoryPattern(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d[1]")
	require.NoError(t, os.Mkdir(dir, 0o700))
	_, err := Load([]Source{{Path: dir, Dir: true}}, nil)
	require.ErrorContains(t, err, "for a pattern")
}

func TestLimits(t *testing.T) {
	_, err := load(t, t.TempDir(), "#"+strings.Repeat("x", maxFileSize))
	require.ErrorContains(t, err, "longer than 16 MiB")

	var text strings.Builder
	text.WriteString("[DEFAULT]\na0 = xxxxxxxx\n")
	for i := range 40 {
		n, m := strconv.Itoa(i), strconv.Itoa(i+1)
		text.WriteString("a" + m + " = $a" + n + "$a" + n + "\n")
	}
	files, err := load(t, t.TempDir(), text.String())
	require.NoError(t, err)
	_, _, err = files.Text("DEFAULT", "a40")
	require.ErrorContains(t, err, "grows too long")

	files, err = load(t, t.TempDir(), strings.ReplaceAll(text.String(), "xxxxxxxx", ""))
	require.NoError(t, err)
	empty, ok, err := files.Text("DEFAULT", "a40")
	require.NoError(t, err)
	require.True(t, ok)
	require.Empty(t, empty)
}

func TestChain(t *testing.T) {
	var text strings.Builder
	text.WriteString("[DEFAULT]\na0 = x\n")
	for i := range 300 {
		text.WriteString("a" + strconv.Itoa(i+1) + " = $a" + strconv.Itoa(i) + "\n")
	}
	files, err := load(t, t.TempDir(), text.String())
	require.NoError(t, err)
	_, _, err = files.Text("DEFAULT", "a300")
	require.ErrorContains(t, err, errTooDeep.Error())
	got, _, err := files.Text("DEFAULT", "a100")
	require.NoError(t, err)
	require.Equal(t, "x", got)
}

// A one-shot program pays for each of these in every call.
func TestCostsLittle(t *testing.T) {
	dir := t.TempDir()
	allocations := testing.AllocsPerRun(20, func() {
		files, err := load(t, dir, "[DEFAULT]\nstate_path=/s\n"+section17)
		require.NoError(t, err)
		_, err = files.KMIP()
		require.NoError(t, err)
	})
	require.Less(t, allocations, 400.0)
}
