package mock_test

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/kmip"
	"kmip-keymgr/mock"
	"kmip-keymgr/ttlv"
)

func TestEveryVersionServes(t *testing.T) {
	server := start(t, mock.Config{})
	for _, v := range kmip.Versions() {
		t.Run(v.String(), func(t *testing.T) {
			c := connect(t, server.Client(), v)
			id := do(t, c, createAES(kmip.NameAttribute("in "+v.String()))).UniqueIdentifier
			got := do(t, c, &kmip.Get{UniqueIdentifier: id})
			key, err := got.Object.Bytes()
			require.NoError(t, err)
			require.Len(t, key, 32)
			hits := do(t, c, &kmip.Locate{Attributes: kmip.Attributes{kmip.NameAttribute("in " + v.String())}})
			require.Equal(t, []string{id}, hits.UniqueIdentifiers)
			require.Equal(t, kmip.PreActive, stateOf(t, c, id))
		})
	}
}

func TestVersionsNotServed(t *testing.T) {
	get := item("", &kmip.Get{UniqueIdentifier: "1"})
	for _, test := range []struct {
		serves, asked string
		answers       kmip.Version
	}{
		{"1.0-2.1", "3.0", kmip.V2_1},
		{"1.0-2.1", "1.9", kmip.V1_4},
		{"1.0-2.1", "0.9", kmip.V1_0},
		{"1.0-2.1", "300.1", kmip.V2_1},
		{"1.2", "1.4", kmip.V1_2},
		{"1.2", "1.0", kmip.V1_2},
		{"1.2-1.3", "2.1", kmip.V1_3},
	} {
		t.Run(test.asked+" of "+test.serves, func(t *testing.T) {
			versions, err := mock.ParseVersions(test.serves)
			require.NoError(t, err)
			server := start(t, mock.Config{Versions: versions})
			answer, conn := raw(t, server, inVersion(t, message(t, kmip.RequestHeader{}, get), test.asked))
			require.Equal(t, test.answers, answer.Header.Version)
			require.Len(t, answer.Items, 1)
			require.Equal(t, kmip.InvalidMessage, answer.Items[0].Reason)
			require.Zero(t, answer.Items[0].Operation)

			again := send(t, conn, message(t, kmip.RequestHeader{Version: test.answers}, get))
			require.Equal(t, kmip.ItemNotFound, again.Items[0].Reason, "the connection stays usable")
		})
	}
}

// inVersion rewrites the version in a request: its two integers are the first in the message.
func inVersion(t *testing.T, request []byte, version string) []byte {
	var major, minor int
	for i, r := range version {
		if r == '.' {
			var err1, err2 error
			major, err1 = strconv.Atoi(version[:i])
			minor, err2 = strconv.Atoi(version[i+1:])
			require.NoError(t, errors.Join(err1, err2))
		}
	}
	const headers = 3 * 8 // Request Message, Request Header, Protocol Version
	binary.BigEndian.PutUint32(request[headers+8:], uint32(major))
	binary.BigEndian.PutUint32(request[headers+16+8:], uint32(minor))
	return request
}

func TestAClientFindsTheVersion(t *testing.T) {
	for _, v := range kmip.Versions() {
		c := one(t, mock.Config{Versions: mock.VersionRange{Min: v, Max: v}}, 0)
		do(t, c, &kmip.Locate{})
		require.Equal(t, v, c.Version())
	}
}

func TestDiscoverVersions(t *testing.T) {
	c := one(t, mock.Config{Versions: mock.VersionRange{Min: kmip.V1_1, Max: kmip.V2_0}}, kmip.V1_2)
	all := do(t, c, &kmip.DiscoverVersions{}).Versions
	require.Equal(t, []kmip.Version{kmip.V2_0, kmip.V1_4, kmip.V1_3, kmip.V1_2, kmip.V1_1}, all)
	require.Equal(t, []kmip.Version{kmip.V1_2}, do(t, c, &kmip.DiscoverVersions{Versions: []kmip.Version{kmip.V1_0, kmip.V1_2}}).Versions)
	require.Empty(t, do(t, c, &kmip.DiscoverVersions{Versions: []kmip.Version{0x091F}}).Versions)
	refused(t, one(t, mock.Config{}, kmip.V1_0), &kmip.DiscoverVersions{}, kmip.OperationNotSupported)
}

func TestQuery(t *testing.T) {
	server := start(t, mock.Config{Without: []kmip.Operation{kmip.OpActivate}})
	c := connect(t, server.Client(), kmip.V1_0)
	answer := do(t, c, &kmip.Query{Functions: []kmip.QueryFunction{kmip.QueryOperations, kmip.QueryObjects, kmip.QueryServerInformation}})
	require.NotContains(t, answer.Operations, kmip.OpActivate)
	require.NotContains(t, answer.Operations, kmip.OpDiscoverVersions, "it came with 1.1")
	require.Contains(t, answer.Operations, kmip.OpGet)
	require.Len(t, answer.ObjectTypes, 6)
	require.Equal(t, "kmip-mock", answer.VendorIdentification)
	refused(t, c, &kmip.Query{}, kmip.InvalidMessage)
	refused(t, c, &kmip.Query{Functions: []kmip.QueryFunction{5}}, kmip.InvalidField)
	refused(t, c, &kmip.Activate{UniqueIdentifier: "x"}, kmip.OperationNotSupported)
}

func TestBatchWithThePlaceholder(t *testing.T) {
	for _, v := range kmip.Versions() {
		c := one(t, mock.Config{}, v)
		var b kmip.Batch
		created := kmip.Add(&b, createAES())
		activated := kmip.Add(&b, &kmip.Activate{})
		got := kmip.Add(&b, &kmip.Get{})
		require.NoError(t, c.Run(t.Context(), &b))
		require.NoError(t, errors.Join(created.Err, activated.Err, got.Err))
		require.Equal(t, created.Response.UniqueIdentifier, got.Response.UniqueIdentifier)

		refused(t, c, &kmip.Get{}, kmip.ItemNotFound) // the placeholder ends with its message
	}
}

// TestABatchWithoutOrderHasNoPlaceholder: before 2.0 its items may run in any order, so none may lean on another.
func TestABatchWithoutOrderHasNoPlaceholder(t *testing.T) {
	for _, test := range []struct {
		version kmip.Version
		ordered bool
		status  kmip.ResultStatus
	}{
		{kmip.V1_0, false, kmip.StatusFailed},
		{kmip.V1_4, false, kmip.StatusFailed},
		{kmip.V1_4, true, kmip.StatusSuccess},
		{kmip.V2_0, false, kmip.StatusSuccess},
	} {
		t.Run(test.version.String(), func(t *testing.T) {
			server := start(t, mock.Config{})
			header := kmip.RequestHeader{Version: test.version, Ordered: test.ordered}
			answer, _ := raw(t, server, message(t, header, item("1", createAES()), item("2", &kmip.Activate{})))
			require.Len(t, answer.Items, 2)
			require.Equal(t, kmip.StatusSuccess, answer.Items[0].Status)
			require.Equal(t, test.status, answer.Items[1].Status)
		})
	}
}

func TestLocateSetsThePlaceholderForOneHit(t *testing.T) {
	c := one(t, mock.Config{}, kmip.V1_4)
	first := do(t, c, createAES(kmip.NameAttribute("first"))).UniqueIdentifier
	do(t, c, createAES(kmip.NameAttribute("second")))
	locateAndGet := func(l *kmip.Locate) *kmip.Result[kmip.GetResponse] {
		var b kmip.Batch
		kmip.Add(&b, l)
		got := kmip.Add(&b, &kmip.Get{})
		require.NoError(t, c.Run(t.Context(), &b))
		return got
	}
	require.Equal(t, first, locateAndGet(&kmip.Locate{Attributes: kmip.Attributes{kmip.NameAttribute("first")}}).Response.UniqueIdentifier)
	require.ErrorIs(t, locateAndGet(&kmip.Locate{}).Err, kmip.ItemNotFound)
	require.ErrorIs(t, locateAndGet(&kmip.Locate{Attributes: kmip.Attributes{kmip.NameAttribute("none")}}).Err, kmip.ItemNotFound)
	require.NoError(t, locateAndGet(&kmip.Locate{MaximumItems: 1}).Err)
}

func TestBatchErrorContinuation(t *testing.T) {
	server := start(t, mock.Config{})
	items := []kmip.RequestItem{
		item("1", &kmip.Get{UniqueIdentifier: "none"}), item("2", &kmip.Locate{}), item("3", &kmip.Get{UniqueIdentifier: "none"}),
	}
	for _, test := range []struct {
		option  kmip.BatchErrorContinuation
		answers int
		reason  kmip.ResultReason
	}{
		{0, 1, kmip.ItemNotFound},
		{kmip.BatchStop, 1, kmip.ItemNotFound},
		{kmip.BatchContinue, 3, kmip.ItemNotFound},
		{kmip.BatchUndo, 1, kmip.FeatureNotSupported},
		{4, 1, kmip.InvalidMessage},
	} {
		answer, _ := raw(t, server, message(t, kmip.RequestHeader{ErrorContinuation: test.option}, items...))
		require.Len(t, answer.Items, test.answers)
		require.Equal(t, test.reason, answer.Items[0].Reason)
	}
}

// TestRefusedMessages are messages that are refused as a whole: one failed item that names no operation.
func TestRefusedMessages(t *testing.T) {
	query := func(id string) kmip.RequestItem {
		return item(id, &kmip.Query{Functions: []kmip.QueryFunction{kmip.QueryObjects}})
	}
	password := kmip.PasswordCredential("u", []byte("p"))
	device := kmip.Credential{Type: kmip.Device, Value: ttlv.StructValue(0, func(*ttlv.Coder) {})}
	unknown := kmip.Credential{Type: 0x80000001, Value: device.Value}
	server, noBatches := start(t, mock.Config{}), start(t, mock.Config{NoBatches: true})
	for _, test := range []struct {
		name   string
		server *mock.Server
		header kmip.RequestHeader
		items  []kmip.RequestItem
		reason kmip.ResultReason
	}{
		{"no items", server, kmip.RequestHeader{}, nil, kmip.InvalidMessage},
		{"item without id", server, kmip.RequestHeader{}, []kmip.RequestItem{query("1"), query("")}, kmip.InvalidMessage},
		{"two items of one id", server, kmip.RequestHeader{}, []kmip.RequestItem{query("1"), query("1")}, kmip.InvalidMessage},
		{"batch where there are none", noBatches, kmip.RequestHeader{}, []kmip.RequestItem{query("1"), query("2")}, kmip.FeatureNotSupported},
		{"asynchronous", server, kmip.RequestHeader{Asynchronous: kmip.AsynchronousOptional}, []kmip.RequestItem{query("")}, kmip.InvalidMessage},
		{"asynchronous in 2.1", server, kmip.RequestHeader{Version: kmip.V2_1, Asynchronous: kmip.AsynchronousMandatory}, []kmip.RequestItem{query("")}, kmip.InvalidMessage},
		{"asynchronous in no known way", server, kmip.RequestHeader{Version: kmip.V2_1, Asynchronous: 4}, []kmip.RequestItem{query("")}, kmip.InvalidMessage},
		{"future", server, kmip.RequestHeader{TimeStamp: time.Now().Add(5 * time.Second)}, []kmip.RequestItem{query("")}, kmip.InvalidMessage},
		{"stale", server, kmip.RequestHeader{TimeStamp: time.Now().Add(-62 * time.Second)}, []kmip.RequestItem{query("")}, kmip.InvalidMessage},
		{"negative size", server, kmip.RequestHeader{MaxResponseSize: -1}, []kmip.RequestItem{query("")}, kmip.InvalidMessage},
		{"correlation in 1.3", server, kmip.RequestHeader{Version: kmip.V1_3, ClientCorrelation: "x"}, []kmip.RequestItem{query("")}, kmip.InvalidMessage},
		{"two credentials in 1.1", server, kmip.RequestHeader{Version: kmip.V1_1, Credentials: []kmip.Credential{password, password}}, []kmip.RequestItem{query("")}, kmip.InvalidMessage},
		{"device in 1.0", server, kmip.RequestHeader{Version: kmip.V1_0, Credentials: []kmip.Credential{device}}, []kmip.RequestItem{query("")}, kmip.InvalidMessage},
		{"unknown credential", server, kmip.RequestHeader{Credentials: []kmip.Credential{unknown}}, []kmip.RequestItem{query("")}, kmip.AuthenticationNotSuccessful},
		{"fits, with an id", server, kmip.RequestHeader{}, []kmip.RequestItem{query("1")}, 0},
		{"fits, with two credentials", server, kmip.RequestHeader{Credentials: []kmip.Credential{password, device}}, []kmip.RequestItem{query("")}, 0},
		{"fits, not asynchronous", server, kmip.RequestHeader{Asynchronous: kmip.AsynchronousProhibited}, []kmip.RequestItem{query("")}, 0},
		{"fits, not asynchronous in 2.1", server, kmip.RequestHeader{Version: kmip.V2_1, Asynchronous: kmip.AsynchronousProhibited}, []kmip.RequestItem{query("")}, 0},
		{"fits, perhaps asynchronous in 2.1", server, kmip.RequestHeader{Version: kmip.V2_1, Asynchronous: kmip.AsynchronousOptional}, []kmip.RequestItem{query("")}, 0},
		{"fits, stamped", server, kmip.RequestHeader{TimeStamp: time.Now()}, []kmip.RequestItem{query("")}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			answer, conn := raw(t, test.server, message(t, test.header, test.items...))
			require.Len(t, answer.Items, 1)
			require.Equal(t, test.reason, answer.Items[0].Reason)
			require.Equal(t, test.reason != 0, answer.Items[0].Operation == 0)
			require.Zero(t, send(t, conn, message(t, kmip.RequestHeader{}, query(""))).Items[0].Reason, "the connection stays usable")
		})
	}
}

// TestAsynchronousIndicatorIsOfItsVersion: a Boolean in 1.x, an Enumeration from 2.0 on.
func TestAsynchronousIndicatorIsOfItsVersion(t *testing.T) {
	server := start(t, mock.Config{})
	no, prohibited := false, kmip.AsynchronousProhibited
	for _, v := range kmip.Versions() {
		boolean := handmade(t, v, kmip.OpActivate, func(c *ttlv.Coder) { c.Bool(ttlv.TagAsynchronousIndicator, &no) }, nothing)
		enumeration := handmade(t, v, kmip.OpActivate, func(c *ttlv.Coder) { ttlv.Enum(c, ttlv.TagAsynchronousIndicator, &prohibited) }, nothing)
		right, wrong := boolean, enumeration
		if v >= kmip.V2_0 {
			right, wrong = enumeration, boolean
		}
		answer, conn := raw(t, server, right)
		require.Equal(t, kmip.ItemNotFound, answer.Items[0].Reason, "what is asked for")
		require.Equal(t, kmip.InvalidMessage, send(t, conn, wrong).Items[0].Reason)
	}
}

func TestResponseHeader(t *testing.T) {
	server := start(t, mock.Config{})
	answer, _ := raw(t, server, message(t, kmip.RequestHeader{ClientCorrelation: "abc"}, item("7", &kmip.Locate{})))
	require.Equal(t, "abc", answer.Header.ClientCorrelation)
	require.WithinDuration(t, time.Now(), answer.Header.TimeStamp, time.Minute)
	require.Equal(t, []byte("7"), answer.Items[0].ID)
}

func TestMessageExtension(t *testing.T) {
	server := start(t, mock.Config{})
	for critical, reason := range map[bool]kmip.ResultReason{true: kmip.FeatureNotSupported, false: 0} {
		i := item("", &kmip.Locate{})
		i.Extension = &kmip.MessageExtension{Vendor: "Acme", Critical: critical, Value: ttlv.StructValue(0, func(*ttlv.Coder) {})}
		answer, _ := raw(t, server, message(t, kmip.RequestHeader{}, i))
		require.Equal(t, reason, answer.Items[0].Reason)
		require.Equal(t, kmip.OpLocate, answer.Items[0].Operation)
	}
}

func TestResponseTooLarge(t *testing.T) {
	server := start(t, mock.Config{})
	query := &kmip.Query{Functions: []kmip.QueryFunction{kmip.QueryOperations}}
	answer, conn := raw(t, server, message(t, kmip.RequestHeader{MaxResponseSize: 200}, item("", query)))
	require.Equal(t, kmip.ResponseTooLarge, answer.Items[0].Reason)
	require.Equal(t, kmip.OpQuery, answer.Items[0].Operation)
	answer = send(t, conn, message(t, kmip.RequestHeader{MaxResponseSize: 2000}, item("", query)))
	require.Zero(t, answer.Items[0].Reason)
}

func TestUnknownFieldsAreRefused(t *testing.T) {
	server := start(t, mock.Config{})
	request := message(t, kmip.RequestHeader{}, item("", &kmip.Get{UniqueIdentifier: "x"}))
	at := len(request) - 16             // the item of the Unique Identifier
	request[at+1], request[at+2] = 0, 1 // now an Activation Date, which Get does not have
	answer, conn := raw(t, server, request)
	require.Equal(t, kmip.InvalidMessage, answer.Items[0].Reason)
	require.Equal(t, kmip.V1_4, answer.Header.Version)
	require.Equal(t, kmip.ItemNotFound, send(t, conn, message(t, kmip.RequestHeader{}, item("", &kmip.Get{UniqueIdentifier: "x"}))).Items[0].Reason)
}

func TestAnUnknownOperationIsNotSupported(t *testing.T) {
	server := start(t, mock.Config{})
	request := message(t, kmip.RequestHeader{}, item("", &kmip.Locate{}))
	operation := slices.Index(request, 0x5C)
	binary.BigEndian.PutUint32(request[operation+6:], 0x1C) // Put
	answer, _ := raw(t, server, request)
	require.Equal(t, kmip.OperationNotSupported, answer.Items[0].Reason)
}

// TestBrokenFraming: an answer, and then the end of the connection, since nobody knows where the next message starts.
func TestBrokenFraming(t *testing.T) {
	server := start(t, mock.Config{})
	good := message(t, kmip.RequestHeader{}, item("", &kmip.Locate{}))
	tooLong := slices.Clone(good)
	binary.BigEndian.PutUint32(tooLong[4:], 3<<20)
	inside := slices.Clone(good)
	inside[15] += 8 // the header seems to hold more than it does
	for name, request := range map[string][]byte{"no KMIP": []byte("GET / HTTP/1.1\r\n\r\n"), "too long": tooLong, "broken inside": inside} {
		t.Run(name, func(t *testing.T) {
			answer, conn := raw(t, server, request)
			require.Equal(t, kmip.InvalidMessage, answer.Items[0].Reason)
			_, err := conn.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF)
		})
	}
}

func TestALargeRequestIsServed(t *testing.T) {
	c := one(t, mock.Config{}, kmip.V1_4)
	data := make([]byte, 2<<20)
	id := do(t, c, &kmip.Register{Object: kmip.Object{Type: kmip.OpaqueObject, OpaqueDataType: kmip.OpaqueData, Value: ttlv.BytesValue(data)}}).UniqueIdentifier
	require.Len(t, do(t, c, &kmip.Get{UniqueIdentifier: id}).Object.Value.Data, len(data))
}

func TestManyConnections(t *testing.T) {
	server := start(t, mock.Config{})
	slow, err := tls.Dial("tcp", server.Addr(), tlsConfig(server.Client()))
	require.NoError(t, err)
	defer slow.Close()
	_, err = slow.Write([]byte{0x42, 0x00, 0x78}) // and then nothing
	require.NoError(t, err)
	var wait sync.WaitGroup
	for n := range 8 {
		wait.Go(func() {
			c := kmip.NewClient(server.Client())
			defer c.Close()
			for i := range 20 {
				name := kmip.NameAttribute(strconv.Itoa(n) + "/" + strconv.Itoa(i))
				made, err := kmip.Do(t.Context(), c, createAES(name))
				if err == nil {
					_, err = kmip.Do(t.Context(), c, &kmip.Get{UniqueIdentifier: made.UniqueIdentifier})
				}
				if err == nil {
					_, err = kmip.Do(t.Context(), c, &kmip.Destroy{UniqueIdentifier: made.UniqueIdentifier})
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	require.Empty(t, server.Inventory())
	require.GreaterOrEqual(t, server.Requests(), 8*20*3)
}

func TestCloseEndsConnections(t *testing.T) {
	server, err := mock.Start(mock.Config{})
	require.NoError(t, err)
	server.Inject(mock.Fault{Action: mock.Delay, Delay: time.Hour})
	conn, err := tls.Dial("tcp", server.Addr(), tlsConfig(server.Client()))
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write(message(t, kmip.RequestHeader{}, item("", &kmip.Locate{})))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return server.Requests() == 1 }, 5*time.Second, time.Millisecond)
	require.NoError(t, server.Close())
	require.NoError(t, server.Close(), "twice does no harm")
	_, err = tls.Dial("tcp", server.Addr(), tlsConfig(server.Client()))
	require.Error(t, err)
}

// TestManyLargeAnswers: what a message asks for is bounded, whatever there is to give.
func TestManyLargeAnswers(t *testing.T) {
	c := one(t, mock.Config{}, kmip.V1_4)
	large := kmip.Object{Type: kmip.OpaqueObject, OpaqueDataType: 0x80000001, Value: ttlv.BytesValue(make([]byte, 900<<10))}
	id := do(t, c, &kmip.Register{Object: large}).UniqueIdentifier
	b := kmip.Batch{Continue: true}
	var results []*kmip.Result[kmip.GetResponse]
	for range 10 {
		results = append(results, kmip.Add(&b, &kmip.Get{UniqueIdentifier: id}))
	}
	found := kmip.Add(&b, &kmip.Locate{})
	require.NoError(t, c.Run(t.Context(), &b))
	for i, r := range results {
		if i < 4 {
			require.NoError(t, r.Err)
			require.Equal(t, large.Value, r.Response.Object.Value)
		} else {
			require.ErrorIs(t, r.Err, kmip.ResponseTooLarge)
		}
	}
	require.NoError(t, found.Err)
	do(t, c, &kmip.Get{UniqueIdentifier: id})
}
