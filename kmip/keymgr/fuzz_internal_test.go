package keymgr

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/kmip"
	"kmip-keymgr/protocol"
)

// FuzzRecord: whatever objects record, their facts are read as they are written.
func FuzzRecord(f *testing.F) {
	r := record{"project", "user", "näme", "req-1"}
	for _, list := range []kmip.Attributes{r.attributes(), r.packed(), {consumerAttribute(protocol.Consumer{Service: "cinder", ResourceType: "volume", ResourceID: "v1"})}} {
		for _, info := range list.Applications() {
			f.Add(info.Namespace, info.Data)
		}
	}
	f.Add(namespaceAll, `{"openstack-project-id":[]}`)
	f.Fuzz(func(t *testing.T, namespace, data string) {
		shown := []kmip.ApplicationInformation{{Namespace: namespace, Data: data}, {Namespace: namespaceAll, Data: data}}
		consumersOf(shown)
		r := recordOf(shown)
		if !json.Valid([]byte(data)) && namespace != "openstack-project-id" {
			require.Empty(t, r.Project)
		}
	})
}

// FuzzCastellan: a credential is read or refused, and a refusal shows nothing of it.
func FuzzCastellan(f *testing.F) {
	for _, text := range []string{
		`{"type":"keystone_password","username":"u","password":"hidden-hidden","user_domain_id":"d"}`,
		`{"type":"keystone_token","token":"hidden-hidden","project_id":"p"}`,
		`{"type":"token","token":"hidden-hidden"}`, `{"type":"password","username":"u","password":"hidden-hidden"}`,
		`{"type":7}`, `[]`, `null`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		credential, err := castellan(text)
		if err != nil {
			require.NotContains(t, err.Error(), "hidden-hidden")
		} else if credential != nil {
			require.Contains(t, []string{"keystone_password", "keystone_token", "token"}, credential["type"])
		}
		exchanged(credential)
	})
}
