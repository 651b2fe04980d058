package kmip

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/ttlv"
)

// python is Debian's, which sees Debian's python3-pykmip; another one on PATH does not.
const python = "/usr/bin/python3"

// pykmip is a PyKMIP that answers questions about messages: see testdata/pykmip.py.
type pykmip struct {
	in  io.Writer
	out *bufio.Reader
}

// startPyKMIP skips the test where there is none, or fails it where KMIP_TESTS_REQUIRE_PEERS is 1.
func startPyKMIP(t *testing.T) *pykmip {
	t.Helper()
	if out, err := exec.Command(python, "-c", "import kmip").CombinedOutput(); err != nil {
		text := "no PyKMIP (Debian's python3-pykmip) for " + python + ": " + err.Error() + "\n" + string(out)
		if os.Getenv("KMIP_TESTS_REQUIRE_PEERS") == "1" {
			t.Fatal(text)
		}
		t.Skip("skipped: " + text)
	}
	cmd := exec.Command(python, "testdata/pykmip.py")
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		require.NoError(t, cmd.Wait())
	})
	return &pykmip{in, bufio.NewReader(out)}
}

func (p *pykmip) ask(t *testing.T, question map[string]any) map[string]string {
	t.Helper()
	line, err := json.Marshal(question)
	require.NoError(t, err)
	_, err = p.in.Write(append(line, '\n'))
	require.NoError(t, err)
	line, err = p.out.ReadBytes('\n')
	require.NoError(t, err)
	var answer map[string]string
	require.NoError(t, json.Unmarshal(line, &answer))
	require.Empty(t, answer["error"])
	return answer
}

// pykmipVersions are those that PyKMIP speaks.
var pykmipVersions = []Version{V1_0, V1_1, V1_2, V1_3, V1_4, V2_0}

// What PyKMIP asks is read strictly here, and written as PyKMIP wrote it.
func TestPyKMIPIsUnderstood(t *testing.T) {
	peer := startPyKMIP(t)
	for _, v := range pykmipVersions {
		for name, text := range peer.ask(t, map[string]any{"build": v.String()}) {
			t.Run(v.String()+"/"+name, func(t *testing.T) {
				msg := unhex(t, text)
				c := ttlv.Coder{Strict: true}
				var m RequestMessage
				require.NoError(t, m.Decode(&c, msg), "%s", ttlv.Dump(msg))
				require.Equal(t, v, m.Header.Version)
				again, err := m.Append(&c, nil)
				require.NoError(t, err)
				require.Equal(t, text, hex.EncodeToString(again))
			})
		}
	}
}

// peerMessages are what a client and a server say, where PyKMIP has the operation.
func peerMessages(v Version) map[string]message {
	named := NameAttribute("a name")
	register := &Register{createAES().Attributes, rawKey(1, 2, 3, 4, 5, 6, 7, 8)}
	passphrase := Object{Type: SecretDataObject, SecretDataType: PasswordData, Value: ttlv.BytesValue([]byte("secret")), KeyBlock: KeyBlock{
		Format: Opaque, Algorithm: AES, Length: 48,
	}}
	batch := request(v, &Locate{MaximumItems: 2, Attributes: Attributes{named}})
	batch.Header.Credentials = []Credential{PasswordCredential("user", []byte("password"))}
	batch.Header.ErrorContinuation = BatchContinue
	batch.Items = append(batch.Items, RequestItem{Operation: OpGet, Payload: new(Get)})
	for i := range batch.Items {
		batch.Items[i].ID = itemID(i, len(batch.Items))
	}
	failed := response(v, OpGet, nil)
	failed.Items[0].Status, failed.Items[0].Reason, failed.Items[0].Message = StatusFailed, ItemNotFound, "no such object"
	all := map[string]message{
		"Create":            request(v, createAES()),
		"CreateKeyPair":     request(v, &CreateKeyPair{Common: createAES().Attributes[:2], Private: Attributes{named}}),
		"Register key":      request(v, register),
		"Register secret":   request(v, &Register{Attributes{named}, passphrase}),
		"Get":               request(v, &Get{UniqueIdentifier: "8", Format: Raw}),
		"GetAttributes":     request(v, &GetAttributes{"8", []AttributeName{{Tag: ttlv.TagName}, {Tag: ttlv.TagState}}}),
		"GetAttributeList":  request(v, &GetAttributeList{"8"}),
		"Activate":          request(v, &Activate{"8"}),
		"Revoke":            request(v, &Revoke{UniqueIdentifier: "8", Code: KeyCompromise, Message: "lost", Compromise: ttlv.TimeValue(time.Unix(1234, 0))}),
		"Destroy":           request(v, &Destroy{"8"}),
		"Query":             request(v, &Query{[]QueryFunction{QueryOperations, QueryServerInformation}}),
		"DiscoverVersions":  request(v, &DiscoverVersions{Versions()[:2]}),
		"batch":             batch,
		"Create done":       response(v, OpCreate, &CreateResponse{SymmetricKeyObject, "8"}),
		"Register done":     response(v, OpRegister, &RegisterResponse{"8"}),
		"Get key":           response(v, OpGet, &GetResponse{"8", rawKey(1, 2, 3)}),
		"Get secret":        response(v, OpGet, &GetResponse{"8", passphrase}),
		"Get failed":        failed,
		"Locate found":      response(v, OpLocate, &LocateResponse{UniqueIdentifiers: []string{"8", "9"}}),
		"Attributes":        response(v, OpGetAttributes, &GetAttributesResponse{"8", Attributes{named, EnumAttribute(ttlv.TagState, Active)}}),
		"Query answered":    response(v, OpQuery, &QueryResponse{Operations: Operations()[:3], ObjectTypes: []ObjectType{SymmetricKeyObject}, VendorIdentification: "v"}),
		"Versions answered": response(v, OpDiscoverVersions, &DiscoverVersionsResponse{Versions()[:2]}),
		"Destroyed":         response(v, OpDestroy, &DestroyResponse{"8"}),
	}
	return all
}

// What we say PyKMIP reads, and writes as we wrote it.
func TestPyKMIPUnderstands(t *testing.T) {
	peer := startPyKMIP(t)
	for _, v := range pykmipVersions {
		for name, m := range peerMessages(v) {
			t.Run(v.String()+"/"+name, func(t *testing.T) {
				text := hex.EncodeToString(requireRoundTrip(t, m))
				_, isResponse := m.(*ResponseMessage)
				answer := peer.ask(t, map[string]any{"read": text, "response": isResponse})
				require.Equal(t, text, answer["again"])
			})
		}
	}
}
