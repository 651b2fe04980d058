package tests

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestCheckAlwaysHasAResult: whatever is wrong behind files that can be parsed is a step that failed, in JSON and for a
// terminal alike, and names the place to mend it.
func TestCheckAlwaysHasAResult(t *testing.T) {
	s := startMock(t)
	p := newPKI(t)
	client := p.client(t, "stranger")
	hidden := filepath.Join(t.TempDir(), "hidden.pem")
	writePEM(t, hidden, "PRIVATE KEY", nil)
	require.NoError(t, os.Chmod(hidden, 0))
	for name, test := range map[string]struct {
		options []string
		step    string
		says    string
	}{
		"no CA file":            {[]string{"ca_certs = /none"}, "certificate", ":2: [kmip] ca_certs: cannot read /none"},
		"a directory":           {[]string{"ca_certs = /tmp"}, "certificate", ":2: [kmip] ca_certs: "},
		"/dev/null":             {[]string{"ca_certs = /dev/null"}, "certificate", ":2: [kmip] ca_certs: "},
		"no certificate in it":  {[]string{"ca_certs = " + client.key}, "certificate", "holds no certificate in PEM"},
		"certfile is a text":    {[]string{"certfile = /etc/hostname"}, "certificate", ":2: [kmip] certfile: /etc/hostname holds no certificate"},
		"certfile is the key":   {[]string{"certfile = " + client.key}, "certificate", ":2: [kmip] certfile: "},
		"a key that is not his": {[]string{"keyfile = " + hidden}, "key file", ":2: [kmip] keyfile: cannot read "},
		"an incomplete service": {[]string{"mode = integrated", "tokenless = service"}, "configuration", "[kmip_service_user] password: missing"},
		"a bad auth_type": {
			[]string{"mode = integrated", "tokenless = service", "[kmip_service_user]", "auth_type = magic"},
			"configuration", ":5: [kmip_service_user] auth_type: ",
		},
		"a bad port":      {[]string{"port = x"}, "configuration", ":2: [kmip] port: "},
		"an unknown name": {[]string{"host = kms.invalid"}, "name resolution", "no such host"},
		"nobody there":    {[]string{"port = " + nobodysPort}, "tcp", "connection refused"},
		"another CA":      {[]string{"ca_certs = " + p.ca()}, "tls", "unknown authority"},
		"a stranger":      {[]string{"certfile = " + client.cert, "keyfile = " + client.key}, "tls", "does not accept the certificate in certfile"},
	} {
		t.Run(name, func(t *testing.T) {
			h := withoutOverride(helper{configs: []string{s.config}}.with(t, test.options...))
			o := h.run(t, h.request(t, "check", nil))
			require.Zero(t, o.status, "%s", o.stdout)
			var c checked
			require.NoError(t, json.Unmarshal([]byte(o.stdout), &c))
			require.False(t, c.Result.OK, "%s", o.stdout)
			require.NotEmpty(t, c.Result.Steps)
			last := c.Result.Steps[len(c.Result.Steps)-1]
			require.Equal(t, test.step, last.Step)
			require.NotEmpty(t, last.Advice)
			require.Contains(t, last.Detail+last.Advice, test.says)

			o = h.run(t, "", "check")
			require.Equal(t, 2, o.status)
			require.NotContains(t, o.stdout, `"error"`)
			require.Contains(t, o.stdout, "FAIL  "+test.step)
			require.Contains(t, o.stdout, test.says)
			require.NotContains(t, o.stdout, "ok    "+test.step)
			require.NotContains(t, o.stdout, ": \n", "a step that found nothing has no colon")
		})
	}
}

// TestCheckForATerminal shows every option that has a text, and each step.
func TestCheckForATerminal(t *testing.T) {
	s := startMock(t)
	client := pair{cert: filepath.Join(filepath.Dir(s.config), "client.pem")}
	h := helper{configs: []string{s.config}}.with(t, "username = nova", "password = hunter2", "host = 127.0.0.1,", "  localhost")
	o := h.run(t, "", "check", "--round-trip")
	require.Zero(t, o.status, "%s", o.stdout)
	at := 0
	for _, line := range []string{
		"ok    configuration: " + s.config + ", ",
		"      host = 127.0.0.1,\n        localhost\n", "      password = ***", "      timeout = 30", "      username = nova", "ok    key file: ",
		"ok    certificate: CN=client, until " + client.parsed(t).NotAfter.UTC().Format(time.DateOnly) + "\n", "ok    name resolution: ", "ok    tcp: ", "ok    tls: ", "ok    kmip: ", "ok    credential: ", "ok    round trip: ",
	} {
		found := strings.Index(o.stdout[at:], line)
		require.GreaterOrEqual(t, found, 0, "%s behind\n%s", line, o.stdout[:at])
		at += found
	}
	require.NotContains(t, o.stdout, "hunter2")
	require.NotContains(t, o.stdout, "server_name", "which has none")
}

// TestCheckOfACertificateForAnyUse goes on, and warns.
func TestCheckOfACertificateForAnyUse(t *testing.T) {
	p := newPKI(t)
	bare := p.write(t, "bare", certificate("bare"), ecKey(t))
	server := p.server(t, ecKey(t), nil)
	h := p.helper(t, says(nil).serve(t, p.tlsConfig(t, server)), "max_retries = 0").as(t, bare)
	o := h.run(t, "", "check")
	require.Contains(t, o.stdout, "warn  certificate: CN=bare, until ")
	require.Contains(t, o.stdout, "clientAuth")
	require.Contains(t, o.stdout, "ok    tls: ")
	require.Contains(t, o.stdout, "FAIL  kmip: ")
	require.Contains(t, o.stdout, "the server closed the connection")
	require.NotContains(t, o.stdout, "EOF")
}

// TestCheckAtAServerThatWritesToTheTerminal: what a server's certificate says is shown as text, and begins no line.
func TestCheckAtAServerThatWritesToTheTerminal(t *testing.T) {
	for verdict, until := range map[string]time.Time{"ok    tls: ": time.Now().Add(time.Hour), "FAIL  tls: ": time.Now().Add(-time.Minute)} {
		p := newPKI(t)
		server := p.server(t, ecKey(t), func(c *x509.Certificate) { c.Subject.CommonName, c.NotAfter = "\x1b[2J\nok    all: is well", until })
		o := p.helper(t, says(nil).serve(t, p.tlsConfig(t, server)), "max_retries = 0").run(t, "", "check")
		require.Contains(t, o.stdout, "\n"+verdict)
		require.Contains(t, o.stdout, "CN= [2J ok    all: is well")
		require.NotContains(t, o.stdout, "\x1b")
		require.NotContains(t, o.stdout, "\nok    all")
	}
}

// TestAVersionThatIsNotSpoken names the option, whichever other version the server speaks.
func TestAVersionThatIsNotSpoken(t *testing.T) {
	for spoken, asked := range map[string]string{"1.0": "1.1", "1.2": "1.4", "2.0-2.1": "1.2"} {
		h := helper{configs: []string{startMock(t, "--kmip-versions", spoken).config}}.with(t, "kmip_version = "+asked)
		failure := h.ask(t, "list_keys", args{}).Error
		require.NotNil(t, failure)
		require.Equal(t, "config", failure.Kind, failure.Message)
		require.Contains(t, failure.Message, "kmip_version")
		o := h.run(t, "", "check")
		require.Contains(t, o.stdout, "FAIL  kmip: ")
		require.Contains(t, o.stdout, "kmip_version in [kmip] must be one that the server speaks")
	}
}

// TestCheckAtPyKMIP has a real server that does not know the OpenStack credential, and says so in words about the message.
func TestCheckAtPyKMIP(t *testing.T) {
	h := helper{configs: []string{startPyKMIP(t, ecKey(t)).config}}
	o := h.run(t, "", "check", "--round-trip")
	require.Zero(t, o.status, "%s", o.stdout)
	for _, version := range []string{"auto", "1.4"} {
		asking := h.with(t, "mode = integrated", "kmip_version = "+version)
		asking.context = args{"auth_token": "token"}
		o = asking.run(t, asking.request(t, "check", nil))
		var c checked
		require.NoError(t, json.Unmarshal([]byte(o.stdout), &c))
		last := c.Result.Steps[len(c.Result.Steps)-1]
		require.Equal(t, "credential", last.Step, "%s", o.stdout)
		require.Contains(t, last.Advice, "mode in [kmip] must be standalone")
	}
	o = h.with(t, "kmip_version = 2.1").run(t, "", "check")
	require.Contains(t, o.stdout, "FAIL  kmip: ")
	require.Contains(t, o.stdout, "kmip_version in [kmip] must be one that the server speaks")
}

// TestCheckThatCannotBeWritten is no success, since nobody has seen it.
func TestCheckThatCannotBeWritten(t *testing.T) {
	s := startMock(t)
	h := helper{configs: []string{s.config}}
	for _, words := range [][]string{{"--version"}, {"--help"}, {"check"}, {}} {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		cmd := h.command(ctx, words...)
		cmd.Stdin = strings.NewReader(h.request(t, "create_key", args{"algorithm": "AES", "length": 256}))
		var errs strings.Builder
		cmd.Stdout, cmd.Stderr = full, &errs
		var exit *exec.ExitError
		require.ErrorAs(t, cmd.Run(), &exit, "%v", words)
		require.Equal(t, 2, exit.ExitCode())
		require.Equal(t, len(words) == 0, strings.Contains(errs.String(), "its answer could not be written"), "%s", errs.String())
		cancel()
		full.Close()
	}
}

// TestReaderOfAnswersGone has the service end in the midst of a session: what may have been done without its knowledge is
// told, and the helper does not die of a signal.
func TestReaderOfAnswersGone(t *testing.T) {
	h := helper{configs: []string{startMock(t).config}}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd, stderr := h.command(ctx), new(log)
	cmd.Stderr = stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	request := h.request(t, "create_key", args{"algorithm": "AES", "length": 256})
	_, err = io.WriteString(in, request)
	require.NoError(t, err)
	_, err = bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.NoError(t, out.Close())
	_, err = io.WriteString(in, request)
	require.NoError(t, err)
	require.NoError(t, in.Close())
	_ = cmd.Wait() // the status is what matters
	require.Equal(t, 2, cmd.ProcessState.ExitCode(), "%v: %s", cmd.ProcessState, stderr)
	require.Contains(t, stderr.String(), "its answer could not be written: ")
}
