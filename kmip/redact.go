package kmip

import (
	"bytes"
	"encoding/hex"
	"slices"

	"kmip-keymgr/internal/secret"
)

// redact takes what was secret in the request out of the server's words, in which it may be quoted: they get into errors, and
// so into logs.
func (m *ResponseMessage) redact(request *RequestMessage) {
	for i := range m.Items {
		if words := &m.Items[i].Message; *words != "" {
			*words = redact(*words, request.secrets())
		}
	}
}

// secrets are those of the credentials, and the values of objects. They stay the request's.
func (m *RequestMessage) secrets() []secret.Bytes {
	var all []secret.Bytes
	for i := range m.Header.Credentials {
		all = append(all, m.Header.Credentials[i].secrets()...)
	}
	for i := range m.Items {
		if r, ok := m.Items[i].Payload.(*Register); ok {
			all = append(all, r.Object.Value.Data)
		}
	}
	return all
}

// secrets are what proves who asks.
func (d *Credential) secrets() []secret.Bytes {
	switch d.Type {
	case UsernameAndPassword:
		p, _ := d.Password()
		return []secret.Bytes{p.Password}
	case OpenStack:
		r, _ := d.RequestContext()
		return []secret.Bytes{r.AuthToken, r.ServiceToken}
	}
	return []secret.Bytes{d.Value.Data}
}

// redact finds secrets as they are, and in hexadecimal. What is shorter than a word tells nothing, and could be anywhere.
func redact(words string, secrets []secret.Bytes) string {
	const word = 4
	var forms []secret.Bytes
	for _, s := range secrets {
		digits := secret.Bytes(hex.AppendEncode(nil, s))
		defer digits.Clear()
		capitals := secret.Bytes(bytes.ToUpper(digits))
		defer capitals.Clear()
		forms = append(forms, s, digits, capitals)
	}
	slices.SortFunc(forms, func(a, b secret.Bytes) int { return len(b) - len(a) }) // one may be part of another
	text := []byte(words)
	for _, s := range forms {
		if len(s) >= word {
			text = bytes.ReplaceAll(text, s, []byte("***"))
		}
	}
	return string(text)
}
