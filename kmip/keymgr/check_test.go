package keymgr_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/internal/secret"
	"kmip-keymgr/kmip"
	"kmip-keymgr/kmip/keymgr"
	"kmip-keymgr/mock"
	"kmip-keymgr/protocol"
)

// steps are the names of a check's.
func steps(c *protocol.Check) (names []string) {
	for _, s := range c.Steps {
		names = append(names, s.Step)
	}
	return names
}

func TestCheck(t *testing.T) {
	pki, err := mock.NewPKI()
	require.NoError(t, err)
	b := start(t, setting{mock: mock.Config{PKI: pki}, keymgr: isolating()})
	c, err := b.Check(context.Background(), nil, &protocol.CheckOptions{RoundTrip: true})
	require.NoError(t, err)
	require.True(t, c.OK, "%+v", c.Steps)
	require.Equal(t, []string{"name resolution", "tcp", "tls", "kmip", "credential", "round trip"}, steps(c))
	for i, text := range []string{
		"127.0.0.1", "connected to " + b.server.Addr(), "TLS 1.3 with TLS_AES_128_GCM_SHA256, certificate of CN=kmip-mock for localhost, 127.0.0.1, ::1 until " +
			pki.Server.Leaf.NotAfter.UTC().Format(time.DateOnly) + ", issued by CN=kmip-mock CA",
		`KMIP 1.4, "kmip-mock", `, ": the certificate", "created, read and destroyed",
	} {
		require.Contains(t, c.Steps[i].Detail, text)
		require.Empty(t, c.Steps[i].Advice)
	}
	require.Equal(t, 1, strings.Count(c.Steps[2].Detail, "issued by"))
	require.Empty(t, b.list(service))
}

// nobody is where nobody listens. No server gets that port, as it may get one that another has just left.
const nobody = "127.0.0.1:1"

// port is a port of this machine where something other than a key manager is.
func port(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return accept(t, listener, handle)
}

// accept has each connection to a listener handled, until the test ends, and returns its address.
func accept(t *testing.T, listener net.Listener, handle func(net.Conn)) string {
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			wait.Go(func() {
				defer conn.Close()
				handle(conn)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		wait.Wait()
	})
	return listener.Addr().String()
}

func mute(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// checked is a manager's check of a mock, as another client of it than it was made for.
func checked(t *testing.T, server mock.Config, within time.Duration, change func(*kmip.Config)) *protocol.Check {
	t.Helper()
	s, err := mock.Start(server)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	config := s.Client()
	if change != nil {
		change(&config)
	}
	client := kmip.NewClient(config)
	defer client.Close()
	m := keymgr.New(client, keymgr.Config{Activate: true, Timeout: within})
	c, err := m.Check(t.Context(), nil, &protocol.CheckOptions{RoundTrip: true})
	require.NoError(t, err)
	return c
}

// TestWhatCheckSays: each failure has the step where it belongs, words for people, and an advice of its own.
func TestWhatCheckSays(t *testing.T) {
	at := func(address string) func(*kmip.Config) {
		return func(c *kmip.Config) { c.Hosts, c.ConnectTimeout = []string{address}, 2*time.Second }
	}
	as := func(user, password string) func(*kmip.Config) {
		return func(c *kmip.Config) {
			c.Credentials = []kmip.Credential{kmip.PasswordCredential(user, []byte(password))}
		}
	}
	speaks := func(v kmip.Version) func(*kmip.Config) { return func(c *kmip.Config) { c.Version = v } }
	fault := func(text string) mock.Config {
		f, err := mock.ParseFault(text)
		require.NoError(t, err)
		return mock.Config{Faults: []mock.Fault{f}}
	}
	users := mock.Config{Users: []mock.User{{Name: "fred", Password: []byte("p")}}}
	oldest := mock.Config{Versions: mock.VersionRange{Min: kmip.V1_0, Max: kmip.V1_0}}
	foreign, err := mock.NewPKI()
	require.NoError(t, err)
	said := map[string]string{}
	for name, test := range map[string]struct {
		server               mock.Config
		change               func(*kmip.Config)
		step, detail, advice string
	}{
		"no such name":        {mock.Config{}, at("kms.invalid:1"), "name resolution", "no such host", "correct host"},
		"nobody listens":      {mock.Config{}, at(nobody), "tcp", "connection refused", "nothing listens there"},
		"nobody speaks":       {mock.Config{}, at(port(t, mute)), "tls", "no answer within connect_timeout (2 s)", "does not speak TLS"},
		"hung up":             {mock.Config{}, at(port(t, func(net.Conn) {})), "tls", "the server closed the connection", "hang up without a word"},
		"no TLS":              {mock.Config{}, at(port(t, func(c net.Conn) { _, _ = io.WriteString(c, "220 mail\r\n"); mute(c) })), "tls", "does not look like", "does not speak TLS: port in [kmip]"},
		"another CA":          {mock.Config{}, func(c *kmip.Config) { c.TLS.Roots = foreign.Roots }, "tls", "unknown authority", "ca_certs"},
		"another name":        {mock.Config{}, func(c *kmip.Config) { c.TLS.ServerName = "kms.example" }, "tls", "kms.example", "set server_name"},
		"our certificate":     {mock.Config{}, func(c *kmip.Config) { c.TLS.Certificate = foreign.Client }, "tls", "unknown certificate authority", "certfile"},
		"another version":     {oldest, speaks(kmip.V1_1), "kmip", ": speaks KMIP [1.0] and not [1.1]", "kmip_version"},
		"dropped":             {fault("*:drop-request:9"), nil, "kmip", "the server closed the connection", "hangs up on requests"},
		"garbage":             {fault("*:garbage:9"), nil, "kmip", "bad response", "does not speak KMIP"},
		"no answer":           {fault("*:delay=1m"), nil, "kmip", "no answer", "does not answer"},
		"refused":             {fault("*:reason=InvalidMessage:9"), nil, "kmip", "InvalidMessage", "kmip_version in [kmip] may suit it better"},
		"broken":              {fault("*:reason=GeneralFailure:9"), nil, "kmip", "GeneralFailure", "log tells more"},
		"lacking":             {mock.Config{Without: []kmip.Operation{kmip.OpLocate}}, nil, "kmip", "operations", "Locate"},
		"no activation":       {mock.Config{Without: []kmip.Operation{kmip.OpActivate}}, nil, "kmip", "operations", "Activate; activate = false"},
		"no revocation":       {mock.Config{Without: []kmip.Operation{kmip.OpRevoke}}, nil, "kmip", "operations", "Revoke; activate = false"},
		"a wrong password":    {users, as("fred", "q"), "credential", "wrong user name", "username and password in [kmip] must be"},
		"no password":         {users, func(c *kmip.Config) { c.Credentials = nil }, "credential", "required", "or wants username and password"},
		"Create is refused":   {fault("Create:reason=PermissionDenied:9"), nil, "round trip", "PermissionDenied", "create keys"},
		"Activate is refused": {fault("Activate:reason=OperationNotSupported:9"), nil, "round trip", "activate = false in [kmip] does without", "activate keys"},
		"Get is refused":      {fault("Get:reason=PermissionDenied:9"), nil, "round trip", "PermissionDenied", "the key was destroyed"},
		"Destroy is refused":  {fault("Destroy:reason=PermissionDenied:9"), nil, "round trip", "PermissionDenied", "is still there"},
	} {
		t.Run(name, func(t *testing.T) {
			within := 10 * time.Second
			if name == "no answer" {
				within = 3 * time.Second
			}
			c := checked(t, test.server, within, test.change)
			require.False(t, c.OK)
			last := c.Steps[len(c.Steps)-1]
			require.Equal(t, test.step, last.Step, "%+v", c.Steps)
			require.Contains(t, last.Detail, test.detail)
			require.Contains(t, last.Advice, test.advice)
			for _, s := range c.Steps[:len(c.Steps)-1] {
				require.True(t, s.OK)
			}
			text := last.Detail + last.Advice
			require.NotContains(t, text, "EOF")
			require.NotContains(t, text, "deadline exceeded")
			require.NotContains(t, last.Detail, last.Advice)
			require.NotContains(t, text, "passed over: ", "there is no other host")
			require.NotContains(t, text, "not usable: ", "there is no other host")
			require.NotContains(t, last.Advice, "127.0.0.1:", "there is no other host")
			require.NotContains(t, last.Detail, "cannot reach", "the step says so")
			require.NotContains(t, last.Detail, "answer from")
			require.False(t, last.Step == "kmip" && strings.Contains(last.Detail, "kmip: "), last.Detail)
			require.LessOrEqual(t, strings.Count(last.Detail, "127.0.0.1:"), 2, "one may be the system's, in words of its own: %s", last.Detail)
			said[name] = last.Advice
		})
	}
	for one, advice := range said {
		for other, too := range said {
			require.True(t, one == other || advice != too, "%s and %s: %s", one, other, advice)
		}
	}
}

// TestCheckOfAPlainServer: who does not activate keys needs no such operations.
func TestCheckOfAPlainServer(t *testing.T) {
	b := start(t, setting{
		mock:   mock.Config{Without: []kmip.Operation{kmip.OpActivate, kmip.OpRevoke}},
		keymgr: keymgr.Config{ProjectIsolation: true},
	})
	c, err := b.Check(t.Context(), nil, &protocol.CheckOptions{RoundTrip: true})
	require.NoError(t, err)
	require.True(t, c.OK, "%+v", c.Steps)
}

// TestCheckOfRecords: at a server that does not keep whose a key is, the service alone would find its own.
func TestCheckOfRecords(t *testing.T) {
	for n, isolation := range []bool{false, true, true} {
		s := &finding{shelf: newShelf()}
		s.keep = keepLast(0)
		config := lasting(time.Minute)
		config.ProjectIsolation = isolation
		who := []*protocol.Context{nil, nil, {}}[n]
		c, err := lie(t, s.serve, config).Check(t.Context(), who, &protocol.CheckOptions{RoundTrip: true})
		require.NoError(t, err)
		require.Equal(t, !isolation, c.OK, "%+v", c.Steps)
		last := c.Steps[len(c.Steps)-1]
		require.Equal(t, "round trip", last.Step)
		require.Equal(t, isolation, strings.Contains(last.Detail, "project_isolation"))
		require.Empty(t, s.objects)
	}
}

// TestCheckEveryHost: one host that serves is enough, and what is wrong with each of the others is told.
func TestCheckEveryHost(t *testing.T) {
	silent := port(t, mute)
	var good string
	c := checked(t, mock.Config{}, 10*time.Second, func(c *kmip.Config) {
		good = c.Hosts[0]
		c.Hosts, c.ConnectTimeout = []string{nobody, good, silent, "kms.invalid:1"}, time.Second
	})
	require.True(t, c.OK, "%+v", c.Steps)
	for i, host := range []string{"kms.invalid:1", nobody, silent} {
		require.Contains(t, c.Steps[i].Detail, "; passed over: "+host+": ")
		require.Contains(t, c.Steps[i].Advice, host+": ")
		require.NotContains(t, c.Steps[3].Detail, host)
	}
	require.Empty(t, c.Steps[3].Advice)
	require.Equal(t, good+": the certificate", c.Steps[4].Detail)
}

// TestCheckHostsAtOnce: hosts that do not answer take no longer together than one of them.
func TestCheckHostsAtOnce(t *testing.T) {
	var both sync.WaitGroup
	both.Add(2)
	meet := func(net.Conn) {
		both.Done()
		both.Wait()
	}
	c := checked(t, mock.Config{}, 10*time.Second, func(c *kmip.Config) {
		c.Hosts, c.ConnectTimeout = []string{port(t, meet), port(t, meet)}, 5*time.Second
	})
	require.Equal(t, "tls", c.Steps[len(c.Steps)-1].Step)
	require.NotContains(t, c.Steps[2].Detail, "no answer", "neither hangs up before the other is connected too")
}

// TestCheckOfAName: an operator sees what it stands for, and which of its addresses serves.
func TestCheckOfAName(t *testing.T) {
	addresses, err := net.LookupHost("localhost")
	require.NoError(t, err)
	var served string
	c := checked(t, mock.Config{}, 10*time.Second, func(c *kmip.Config) {
		served = c.Hosts[0]
		c.Hosts = []string{strings.Replace(served, "127.0.0.1", "localhost", 1)}
	})
	require.True(t, c.OK, "%+v", c.Steps)
	require.Contains(t, c.Steps[0].Detail, strings.Join(addresses, ", "))
	require.Contains(t, c.Steps[1].Detail, "connected to "+served)
}

// TestCheckOfWhatIsNeeded: whatever a server lacks is told by check, before a request needs it.
func TestCheckOfWhatIsNeeded(t *testing.T) {
	for names, lacking := range map[string][]kmip.Operation{
		"Create": {kmip.OpCreate}, "Register": {kmip.OpRegister}, "Get": {kmip.OpGet}, "GetAttributes": {kmip.OpGetAttributes},
		"Locate": {kmip.OpLocate}, "Destroy": {kmip.OpDestroy}, "Create, Destroy": {kmip.OpDestroy, kmip.OpCreate},
	} {
		c := checked(t, mock.Config{Without: lacking}, 10*time.Second, nil)
		require.False(t, c.OK)
		last := c.Steps[len(c.Steps)-1]
		require.Equal(t, "kmip", last.Step, "%+v", c.Steps)
		require.Contains(t, last.Detail, `KMIP 1.4, "kmip-mock", `)
		require.Equal(t, "the server does not offer this client "+names, last.Advice)
	}
}

// TestCheckStaysWithAHost: operations do not go on behind a host that answers and cannot serve, so neither does the check.
func TestCheckStaysWithAHost(t *testing.T) {
	pki, err := mock.NewPKI()
	require.NoError(t, err)
	other, err := mock.Start(mock.Config{PKI: pki, Versions: mock.VersionRange{Min: kmip.V2_0, Max: kmip.V2_1}})
	require.NoError(t, err)
	defer func() { require.NoError(t, other.Close()) }()
	stuck, err := mock.Start(mock.Config{PKI: pki, Faults: []mock.Fault{{Operation: kmip.OpQuery, Action: mock.DropRequest, Count: 9}}})
	require.NoError(t, err)
	defer func() { require.NoError(t, stuck.Close()) }()
	for before, serves := range map[int]bool{0: false, 2: true} {
		var good string
		c := checked(t, mock.Config{PKI: pki}, 10*time.Second, func(c *kmip.Config) {
			good = c.Hosts[0]
			c.Version, c.Hosts = kmip.V1_4, slices.Insert([]string{stuck.Addr(), good, stuck.Addr(), good}, before, other.Addr())
		})
		require.Equal(t, serves, c.OK, "%+v", c.Steps)
		require.Equal(t, serves, c.Steps[3].OK)
		at := 0
		for _, text := range []string{good, "; " + good, "; passed over: " + stuck.Addr(), "; " + stuck.Addr(), "; not usable: " + other.Addr()} {
			found := strings.Index(c.Steps[3].Detail[at:], text+": ")
			require.GreaterOrEqual(t, found, 0, "%s behind\n%s", text, c.Steps[3].Detail[:at])
			at += found + len(text)
		}
		require.Contains(t, c.Steps[3].Advice, other.Addr()+": ")
		require.Equal(t, serves, len(c.Steps) == 6)
		if serves {
			require.NotContains(t, c.Steps[4].Detail+c.Steps[4].Advice, other.Addr(), "whose credential was not tried")
		}
	}
}

// TestCheckOfTokens: the advice to leave the OpenStack credential is for servers that do not know it.
func TestCheckOfTokens(t *testing.T) {
	who := &protocol.Context{AuthToken: secret.Bytes("t"), UserID: "u", ProjectID: "p"}
	for reason, mode := range map[kmip.ResultReason]bool{
		kmip.AuthenticationNotSuccessful: false, kmip.PermissionDenied: false, kmip.IdentityUnavailable: false,
		kmip.InvalidMessage: true, kmip.InvalidField: true,
	} {
		e := enter(t, mock.Config{}, nil)
		e.refuses = func(said *kmip.RequestContext) error {
			switch {
			case said != nil:
				return reason
			case !mode:
				return kmip.AuthenticationNotSuccessful
			}
			return nil
		}
		c, err := e.Check(t.Context(), who, &protocol.CheckOptions{})
		require.NoError(t, err)
		require.False(t, c.OK)
		last := c.Steps[len(c.Steps)-1]
		require.Equal(t, "credential", last.Step, "%+v", c.Steps)
		require.Equal(t, mode, strings.Contains(last.Detail+last.Advice, "standalone"), "%+v", last)
		require.Contains(t, last.Detail, reason.String())
	}
}

// TestCheckForgetsALentToken that may be why it fails.
func TestCheckForgetsALentToken(t *testing.T) {
	e := enter(t, mock.Config{}, nil)
	e.door.err = kmip.AuthenticationNotSuccessful
	c, err := e.Check(t.Context(), nil, &protocol.CheckOptions{})
	require.NoError(t, err)
	require.Contains(t, c.Steps[len(c.Steps)-1].Advice, "the server must ask the same Keystone")
	require.Equal(t, []string{"map[]"}, e.forgot)

	_, err = e.Check(t.Context(), &protocol.Context{Castellan: secret.Bytes(`{"type":"keystone_password"}`)}, &protocol.CheckOptions{})
	require.NoError(t, err)
	require.Equal(t, []string{"map[]", "map[type:keystone_password]"}, e.forgot)

	e.door.err = nil
	c, err = e.Check(t.Context(), nil, &protocol.CheckOptions{})
	require.NoError(t, err)
	require.True(t, c.OK)
	require.Len(t, e.forgot, 2)
	require.False(t, e.client.Probes()[0].Credentials(), "nor does the client keep it")
}

// TestCheckOfATokenAndAPassword: KMIP 1.1 has no room for both.
func TestCheckOfATokenAndAPassword(t *testing.T) {
	e := enter(t, mock.Config{}, func(c *kmip.Config) {
		c.Version, c.Credentials = kmip.V1_1, []kmip.Credential{kmip.PasswordCredential("u", []byte("p"))}
	})
	c, err := e.Check(t.Context(), &protocol.Context{AuthToken: secret.Bytes("t")}, &protocol.CheckOptions{})
	require.NoError(t, err)
	last := c.Steps[len(c.Steps)-1]
	require.Equal(t, "credential", last.Step)
	require.Contains(t, last.Advice, "leave out username")
}

// TestCheckWithoutAnIdentity: why there is no caller is told with what to do about it, whatever the server says to nobody.
func TestCheckWithoutAnIdentity(t *testing.T) {
	password := &protocol.Context{Castellan: secret.Bytes(`{"type":"keystone_password","username":"u","password":"p"}`)}
	for _, test := range []struct {
		who    *protocol.Context
		kind   protocol.Kind
		advice string
	}{
		{nil, protocol.Config, "the section that is named"},
		{nil, protocol.Unavailable, "Keystone must answer at auth_url"},
		{nil, protocol.Forbidden, "set tokenless = service"},
		{password, protocol.Config, "the section that is named"},
		{password, protocol.Forbidden, "one of Castellan's credentials that Keystone takes"},
		{nil, protocol.InvalidRequest, "one of Castellan's credentials that Keystone takes"},
	} {
		for _, refusal := range []error{nil, kmip.AuthenticationNotSuccessful} {
			e := enter(t, mock.Config{}, nil)
			e.desk.err, e.door.err = &protocol.Error{Kind: test.kind, Message: "nobody"}, refusal
			c, err := e.Check(t.Context(), test.who, &protocol.CheckOptions{RoundTrip: true})
			require.NoError(t, err)
			require.False(t, c.OK)
			last := c.Steps[len(c.Steps)-1]
			require.Equal(t, "credential", last.Step, "%+v", c.Steps)
			require.Regexp(t, `^127\.0\.0\.1:\d+: nobody$`, last.Detail)
			require.Contains(t, last.Advice, test.advice)
			require.Equal(t, refusal != nil, strings.Contains(c.Steps[len(c.Steps)-2].Detail, "only to clients that it knows"), "%+v", c.Steps)
		}
	}
}

// TestCheckOfACredentialOfNoUse: who brings one that is not Keystone's is not told that the service's identity would do.
func TestCheckOfACredentialOfNoUse(t *testing.T) {
	for credential, detail := range map[string]string{
		`{"type":"password","username":"u","password":"p"}`: "a password that is not Keystone's says nothing",
		`{"type":"token"}`:          "a token without a token",
		`{"type":"keystone_token"}`: "a keystone_token without a token",
	} {
		e := enter(t, mock.Config{}, nil)
		c, err := e.Check(t.Context(), &protocol.Context{Castellan: secret.Bytes(credential)}, &protocol.CheckOptions{})
		require.NoError(t, err)
		last := c.Steps[len(c.Steps)-1]
		require.Equal(t, "credential", last.Step, "%+v", c.Steps)
		require.Contains(t, last.Detail, "context.castellan: "+detail)
		require.Contains(t, last.Advice, "one of Castellan's credentials that Keystone takes")
	}
}

// credentialAdvice is what check advises about a token that the caller brought, at a server that says this to a message without
// one, nil for an answer, and that to one with.
func credentialAdvice(t *testing.T, toNobody, toToken error) string {
	e := enter(t, mock.Config{}, nil)
	e.refuses = func(said *kmip.RequestContext) error {
		if said == nil {
			return toNobody
		}
		return toToken
	}
	c, err := e.Check(t.Context(), &protocol.Context{AuthToken: secret.Bytes("t")}, &protocol.CheckOptions{})
	require.NoError(t, err)
	last := c.Steps[len(c.Steps)-1]
	require.Equal(t, "credential", last.Step, "%+v", c.Steps)
	require.Empty(t, e.forgot, "nothing was lent")
	return last.Advice
}

// TestCheckOfRefusedTokens: of a token that the caller brought the advice is to bring a new one, and of a server that
// refuses the message rather than the token, that it may not know OpenStack's credential.
func TestCheckOfRefusedTokens(t *testing.T) {
	for reason, advice := range map[kmip.ResultReason]string{
		kmip.AuthenticationNotSuccessful: "expired or been revoked", kmip.NotAuthorised: "expired or been revoked",
		kmip.PermissionDenied: "expired or been revoked", kmip.InvalidField: "mode in [kmip] must be standalone",
		kmip.IdentityUnavailable: "cannot ask Keystone now",
	} {
		for _, ofNobody := range []kmip.ResultReason{kmip.NotAuthorised, kmip.IdentityUnavailable} {
			require.Contains(t, credentialAdvice(t, ofNobody, reason), advice, reason)
		}
	}
}

// TestCheckWhereNobodyIsAnswered: a server that does not take a message without a token has understood the one whose token
// it refuses, and is not to blame.
func TestCheckWhereNobodyIsAnswered(t *testing.T) {
	for _, ofNobody := range []kmip.ResultReason{kmip.InvalidMessage, kmip.MissingData, kmip.GeneralFailure} {
		require.Contains(t, credentialAdvice(t, ofNobody, kmip.AuthenticationNotSuccessful), "expired or been revoked")
	}
}

// TestCheckOfAServerForEveryone: one that answers without a token, and refuses every token as if it were bad, asks no
// Keystone. A new token is of no use there.
func TestCheckOfAServerForEveryone(t *testing.T) {
	require.Contains(t, credentialAdvice(t, nil, kmip.AuthenticationNotSuccessful), "answers without the OpenStack credential and not with it")
}

// TestCheckOfARefusedPassword: a standalone server that answers without username and password, and not with them, knows
// nothing of OpenStack, nor does the advice.
func TestCheckOfARefusedPassword(t *testing.T) {
	for _, reason := range []kmip.ResultReason{kmip.AuthenticationNotSuccessful, kmip.InvalidMessage} {
		server := mock.Config{Authenticate: func(_ context.Context, _ *tls.ConnectionState, said []kmip.Credential) (mock.Identity, error) {
			if len(said) > 0 {
				return mock.Identity{}, reason
			}
			return mock.Identity{Owner: "everyone"}, nil
		}}
		c := checked(t, server, 10*time.Second, func(c *kmip.Config) {
			c.Credentials = []kmip.Credential{kmip.PasswordCredential("u", []byte("p"))}
		})
		last := c.Steps[len(c.Steps)-1]
		require.Equal(t, "credential", last.Step, "%+v", c.Steps)
		require.Contains(t, last.Advice, "username and password in [kmip] must be", reason)
	}
}

// TestCheckNamesWhoAsks: an operator sees for whom it was tried.
func TestCheckNamesWhoAsks(t *testing.T) {
	users := mock.Config{Users: []mock.User{{Name: "fred", Password: []byte("p")}}}
	c := checked(t, users, 10*time.Second, func(c *kmip.Config) {
		c.Credentials = []kmip.Credential{kmip.PasswordCredential("fred", []byte("p"))}
	})
	require.True(t, c.OK)
	require.Contains(t, c.Steps[4].Detail, "username and password, beside the certificate")
	e := enter(t, mock.Config{}, nil)
	for detail, who := range map[string]*protocol.Context{
		`user "u" of project "p"`: {AuthToken: secret.Bytes("t"), UserID: "u", ProjectID: "p"},
		`user "u" of project ""`:  {AuthToken: secret.Bytes("t"), UserID: "u"},
		"a token alone":           {AuthToken: secret.Bytes("t")},
	} {
		c, err := e.Check(t.Context(), who, &protocol.CheckOptions{})
		require.NoError(t, err)
		require.True(t, c.OK)
		require.Contains(t, c.Steps[4].Detail, detail)
		require.Len(t, c.Steps, 5, "no key is made unless that is asked for")
	}
}

// TestCheckOfZeros: a server that gives a key of zeros gives none that keeps anything secret.
func TestCheckOfZeros(t *testing.T) {
	s := &finding{shelf: newShelf()}
	s.key = strings.Repeat("\x00", 32)
	c, err := lie(t, s.serve, lasting(time.Minute)).Check(t.Context(), nil, &protocol.CheckOptions{RoundTrip: true})
	require.NoError(t, err)
	require.False(t, c.OK)
	require.Contains(t, c.Steps[len(c.Steps)-1].Detail, "the key is all zeros")
	require.Empty(t, s.objects)
}

// TestRefusing: a manager without a client answers everything with what is wrong.
func TestRefusing(t *testing.T) {
	wrong := &protocol.Error{Kind: protocol.Config, Message: "host in [kmip]: required"}
	m := keymgr.Refusing(wrong)
	_, checked := m.Check(t.Context(), nil, &protocol.CheckOptions{})
	_, got := m.GetKey(t.Context(), nil, &protocol.GetKey{KeyID: asked})
	_, made := m.CreateKey(t.Context(), nil, createAES(""))
	for _, err := range []error{checked, got, made} {
		require.Same(t, wrong, err)
	}
}

// TestCheckOfAQuestionForAnyone: a server may answer Query whoever asks, since that shows no key, and so proves nothing of the
// credential. Only one that takes the caller's token, and refuses one of nobody's for what it is, keeps projects apart.
func TestCheckOfAQuestionForAnyone(t *testing.T) {
	const nobody = kmip.AuthenticationNotSuccessful
	for _, test := range []struct {
		real, forged kmip.ResultReason // of the refusals, 0 for none
		detail       string            // of the step that fails, "" where none does
	}{
		{0, nobody, ""},
		{0, kmip.IdentityUnavailable, ""},
		{0, 0, "never issued is accepted too"},
		{0, kmip.GeneralFailure, "not refused as such: kmip: Locate: GeneralFailure"},
		{0, kmip.ItemNotFound, "never issued is accepted too"},
		{kmip.ItemNotFound, nobody, ""},
		{nobody, nobody, "Locate: AuthenticationNotSuccessful"},
		{kmip.OperationNotSupported, kmip.OperationNotSupported, "Locate: OperationNotSupported"},
	} {
		m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem {
			if _, is := m.Items[0].Payload.(*kmip.Query); is {
				return newShelf().serve(m)
			}
			who, err := m.Header.Credentials[0].RequestContext()
			reason := test.real
			if err != nil || string(who.AuthToken) == forged {
				reason = test.forged
			}
			if reason != 0 {
				return refuses(m, reason)
			}
			return newShelf().serve(m)
		}, keymgr.Config{Timeout: time.Minute, Identities: new(desk)})
		c, err := m.Check(t.Context(), nil, &protocol.CheckOptions{})
		require.NoError(t, err)
		require.Equal(t, test.detail == "", c.OK, "%+v", c.Steps)
		last := c.Steps[len(c.Steps)-1]
		require.Equal(t, "credential", last.Step)
		require.Contains(t, last.Detail, test.detail)
		require.Equal(t, c.OK, last.Advice == "")
	}
}

// TestCheckOfATrustingServer: one that believes what stands beside the token shows a project's keys to whoever names the project, or
// to every service.
func TestCheckOfATrustingServer(t *testing.T) {
	for _, trusts := range []func(*kmip.RequestContext) bool{
		func(who *kmip.RequestContext) bool { return who.ProjectID == "p" },
		func(who *kmip.RequestContext) bool { return string(who.ServiceToken) == "service" },
	} {
		m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem {
			if who, err := m.Header.Credentials[0].RequestContext(); err != nil || !trusts(who) {
				return refuses(m, kmip.PermissionDenied)
			}
			return newShelf().serve(m)
		}, keymgr.Config{Timeout: time.Minute, Identities: new(desk)})
		who := &protocol.Context{AuthToken: secret.Bytes("t"), ServiceToken: secret.Bytes("service"), ProjectID: "p"}
		c, err := m.Check(t.Context(), who, &protocol.CheckOptions{})
		require.NoError(t, err)
		require.False(t, c.OK)
		require.Contains(t, c.Steps[len(c.Steps)-1].Detail, "never issued is accepted too")
	}
}

// TestCheckThatLeavesAKey: both what is wrong with the key and why it could not be destroyed are told, and an operator who
// comes across it sees where it is from. It is the caller's, where there is one.
func TestCheckThatLeavesAKey(t *testing.T) {
	for project, who := range map[string]*protocol.Context{"kmip-keymgr-check": nil, "project-a": alice} {
		s := &finding{shelf: newShelf()}
		s.key = strings.Repeat("\x00", 32)
		m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem {
			if op := m.Items[len(m.Items)-1].Operation; op == kmip.OpDestroy || op == kmip.OpRevoke {
				return refuses(m, kmip.PermissionDenied)
			}
			return s.serve(m)
		}, lasting(time.Minute))
		c, err := m.Check(t.Context(), who, &protocol.CheckOptions{RoundTrip: true})
		require.NoError(t, err)
		require.False(t, c.OK)
		last := c.Steps[len(c.Steps)-1]
		require.Contains(t, last.Detail, "the key is all zeros; ")
		require.Contains(t, last.Detail, "PermissionDenied")
		require.Len(t, s.ids, 1)
		require.Contains(t, last.Advice, "the key "+s.ids[0]+" is still there")
		record := fmt.Sprint(s.objects[s.ids[0]].Applications())
		require.Contains(t, record, "kmip-keymgr check")
		require.Contains(t, record, "openstack-project-id "+project)
	}
}
