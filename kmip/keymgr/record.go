package keymgr

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"kmip-keymgr/kmip"
	"kmip-keymgr/protocol"
)

// record is what an object says of where it came from. It is kept as Application Specific Information (KMIP 1.4 section
// 3.36), one instance a namespace.
type record struct {
	Project string `json:"openstack-project-id,omitempty"`
	User    string `json:"openstack-user-id,omitempty"`
	Name    string `json:"openstack-name,omitempty"` // Castellan's, which need not be unique
	Request string `json:"openstack-request-id,omitempty"`
}

// namespaceAll holds a whole record as JSON, for servers that take one instance and no more.
const namespaceAll = "openstack"

// field is one fact of a record under its namespace.
type field struct {
	namespace string
	data      *string
}

func (r *record) fields() [4]field {
	return [...]field{
		{"openstack-project-id", &r.Project},
		{"openstack-user-id", &r.User},
		{"openstack-name", &r.Name},
		{"openstack-request-id", &r.Request},
	}
}

// newRecord is the record of an object that the caller makes.
func newRecord(who *protocol.Context, name string) record {
	if who == nil {
		return record{Name: name}
	}
	return record{who.ProjectID, who.UserID, name, who.RequestID}
}

// attributes are one instance a fact.
func (r *record) attributes() kmip.Attributes {
	var list kmip.Attributes
	for _, f := range r.fields() {
		if *f.data != "" {
			list = append(list, kmip.ApplicationAttribute(f.namespace, *f.data))
		}
	}
	return list
}

// packed is the whole record in one instance, and in ASCII, which every server can read: PyKMIP's takes a Text String for a
// byte a character.
func (r *record) packed() kmip.Attributes {
	text, _ := json.Marshal(r) // texts always marshal
	return kmip.Attributes{kmip.ApplicationAttribute(namespaceAll, ascii(string(text)))}
}

// ascii is a JSON text with every character beyond ASCII escaped (RFC 8259 section 7).
func ascii(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r < utf8.RuneSelf {
			b.WriteRune(r)
			continue
		}
		for _, half := range utf16.AppendRune(nil, r) {
			fmt.Fprintf(&b, `\u%04x`, half)
		}
	}
	return b.String()
}

// isPlain reports whether the record has no form that more servers would take.
func (r *record) isPlain() bool { return len(r.attributes()) <= 1 && r.isASCII() }

// isASCII reports whether the record has no character that a server may stumble over.
func (r *record) isASCII() bool {
	for _, f := range r.fields() {
		if strings.ContainsFunc(*f.data, func(c rune) bool { return c >= utf8.RuneSelf }) {
			return false
		}
	}
	return true
}

// recordOf is the record that an object shows, in either form. Of two instances of a namespace the first counts.
func recordOf(shown []kmip.ApplicationInformation) record {
	var r, packed record
	for _, info := range shown {
		if info.Namespace == namespaceAll && packed == (record{}) {
			_ = json.Unmarshal([]byte(info.Data), &packed) // what is no record of ours records nothing
		}
		r.note(info)
	}
	return record{
		cmp.Or(r.Project, packed.Project), cmp.Or(r.User, packed.User),
		cmp.Or(r.Name, packed.Name), cmp.Or(r.Request, packed.Request),
	}
}

// note takes a fact that has a namespace of its own.
func (r *record) note(info kmip.ApplicationInformation) {
	for _, f := range r.fields() {
		if f.namespace == info.Namespace && *f.data == "" {
			*f.data = info.Data
		}
	}
}
