package kmip

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/internal/secret"
	"kmip-keymgr/ttlv"
)

// TestQuotedSecrets has a server quote what it was sent. No error passes that on, wherever it stands and whatever %q would make
// of it.
func TestQuotedSecrets(t *testing.T) {
	const token, service, password, passphrase = "the-auth-token", "the-service-token", "pass\"word\n", "my \xff value"
	digits := fmt.Sprintf("%x, %X", passphrase, passphrase)
	for _, before := range []string{"", strings.Repeat("t", 250)} {
		says := func(conn *tls.Conn, r *RequestMessage) bool {
			m := refused(V1_4, InvalidField)
			m.Items[0].Operation = r.Items[0].Operation
			m.Items[0].Message = before + strings.Join([]string{token, service, password, passphrase, digits}, ", ") + " and a key"
			return send(conn, encoded(m))
		}
		s := serve(t, nil, says, says)
		c := client(t, func(c *Config) { c.Credentials = []Credential{PasswordCredential("user", secret.Bytes(password))} }, s)
		caller := OpenStackCredential(&RequestContext{AuthToken: secret.Bytes(token), ServiceToken: secret.Bytes(service)})
		c.As(&caller)
		_, err := Do(soon(t), c, &Register{Object: Object{Type: SecretDataObject, Value: ttlv.BytesValue([]byte(passphrase)), KeyBlock: KeyBlock{Format: Raw}}})
		require.ErrorIs(t, err, InvalidField)
		if before == "" {
			require.ErrorContains(t, err, `("***, ***, ***, ***, ***, *** and a key")`)
		}
		for _, s := range []string{"the-", "pass", "my ", "6d79"} {
			require.NotContains(t, err.Error(), s)
		}
		_, err = Do(soon(t), c, get)
		require.NotContains(t, err.Error(), "the-")
		require.NotContains(t, err.Error(), "pass")
	}
}

// TestRedact: a password of four characters is kept out too, and what is shorter could be in any text. A token that a
// password begins with does not leave the rest of the password.
func TestRedact(t *testing.T) {
	secrets := func(all ...string) (list []secret.Bytes) {
		for _, s := range all {
			list = append(list, secret.Bytes(s))
		}
		return list
	}
	for _, test := range []struct {
		words   string
		secrets []secret.Bytes
		want    string
	}{
		{"abc!", secrets("abc"), "abc!"},
		{"abcd!", secrets("abcd"), "***!"},
		{"616263, 6a6B", secrets("abc", "jk"), "***, 6a6B"},
		{"token-and-more and token", secrets("token", "token-and-more"), "*** and ***"},
		{"twice twice", secrets("twice"), "*** ***"},
		{"no", secrets("", "no"), "no"},
		{"", secrets("some"), ""},
	} {
		require.Equal(t, test.want, redact(test.words, test.secrets))
	}
	unknown := Credential{Device, ttlv.TextValue("serial")}
	require.Equal(t, secrets("serial"), unknown.secrets())
}
