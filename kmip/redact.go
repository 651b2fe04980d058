package kmip

import (
	"bytes"
	"encoding/hex"
	"slices"

	"kmip-keymgr/internal/secret"
)

// redact takes what was sent in confidence out of the server's words, in which it may be quoted: they get into errors, and so
// into logs.
func (c *Client) redact(m *ResponseMessage, credentials []Credential) {
	for i := range m.Items {
		words := &m.Items[i].Message
		if *words == "" {
			continue
		}
		secrets := slices.Clone(c.values)
		for j := range credentials {
			secrets = append(secrets, credentials[j].secrets()...)
		}
		*words = redact(*words, secrets)
	}
}

// values are those of the objects in a request.
func (b *Batch) values() []secret.Bytes {
	var all []secret.Bytes
	for i := range b.items {
		if r, ok := b.items[i].payload.(*Register); ok {
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
