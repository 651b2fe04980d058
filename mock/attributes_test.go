package mock_test

import (
	"encoding/hex"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/kmip"
	"kmip-keymgr/mock"
	"kmip-keymgr/ttlv"
)

func named(tag ttlv.Tag) kmip.AttributeName { return kmip.AttributeName{Tag: tag} }

func custom(name, value string) kmip.Attribute {
	return kmip.Attribute{AttributeName: kmip.AttributeName{Name: name}, Value: ttlv.TextValue(value)}
}

func vendorAttribute(value string) kmip.Attribute {
	return kmip.Attribute{AttributeName: kmip.AttributeName{Vendor: "Acme", Name: "colour"}, Value: ttlv.TextValue(value)}
}

func values(l kmip.Attributes, n kmip.AttributeName) (texts []string) {
	for _, a := range l {
		if a.AttributeName == n {
			text, _ := a.Value.Text()
			texts = append(texts, text)
		}
	}
	return texts
}

// TestRefusedAttributes: what a new object may not have, with the reason in 1.4 and the one in 2.1.
func TestRefusedAttributes(t *testing.T) {
	server := start(t, mock.Config{})
	v1, v2 := connect(t, server.Client(), kmip.V1_4), connect(t, server.Client(), kmip.V2_1)
	invalidUTF8 := kmip.TextAttribute(ttlv.TagComment, "\xff")
	for _, test := range []struct {
		name         string
		attribute    kmip.Attribute
		in1_4, in2_1 kmip.ResultReason
	}{
		{"state", kmip.EnumAttribute(ttlv.TagState, kmip.Active), kmip.PermissionDenied, kmip.AttributeReadOnly},
		{"identifier", kmip.TextAttribute(ttlv.TagUniqueIdentifier, "mine"), kmip.PermissionDenied, kmip.AttributeReadOnly},
		{"initial date", kmip.TimeAttribute(ttlv.TagInitialDate, time.Now()), kmip.PermissionDenied, kmip.AttributeReadOnly},
		{"another type", kmip.TextAttribute(ttlv.TagActivationDate, "today"), kmip.InvalidField, kmip.InvalidAttributeValue},
		{"a name without a value", kmip.NameAttribute(""), kmip.InvalidField, kmip.InvalidAttributeValue},
		{"information without a namespace", kmip.ApplicationAttribute("", "x"), kmip.InvalidField, kmip.InvalidAttributeValue},
		{"information without data", kmip.ApplicationAttribute("x", ""), kmip.InvalidField, kmip.InvalidAttributeValue},
		{"a link to nowhere", kmip.LinkAttribute(kmip.PublicKeyLink, ""), kmip.InvalidField, kmip.InvalidAttributeValue},
		{"not UTF-8", invalidUTF8, kmip.InvalidField, kmip.InvalidAttributeValue},
		{"of certificates", kmip.EnumAttribute(ttlv.TagCertificateType, kmip.X509Certificate), kmip.InvalidField, kmip.UnsupportedAttribute},
		{"no attribute", kmip.TextAttribute(ttlv.TagUsername, "x"), kmip.InvalidField, kmip.UnsupportedAttribute},
		{"twice", kmip.IntAttribute(ttlv.TagCryptographicLength, int32(256)), kmip.InvalidField, kmip.InvalidField},
	} {
		t.Run(test.name, func(t *testing.T) {
			refused(t, v1, createAES(test.attribute), test.in1_4)
			refused(t, v2, createAES(test.attribute), test.in2_1)
		})
	}
	refused(t, v1, createAES(custom("y-server", "x")), kmip.InvalidField)
	refused(t, v1, createAES(custom("purpose", "x")), kmip.InvalidField)
	refused(t, v2, createAES(custom("x-purpose", "x")), kmip.UnsupportedAttribute)
	refused(t, v2, createAES(kmip.TextAttribute(ttlv.TagOperationPolicyName, "default")), kmip.UnsupportedAttribute)
	refused(t, v1, createAES(kmip.EnumAttribute(ttlv.TagProtectionLevel, uint32(1))), kmip.InvalidField)
	refused(t, v1, createAES(kmip.NameAttribute("a"), kmip.NameAttribute("a")), kmip.InvalidField)
	require.Empty(t, server.Inventory())
}

// TestKeyValueElsewhere registers a key without its value (KMIP 1.2 Usage Guide, Meta-Data Only).
func TestKeyValueElsewhere(t *testing.T) {
	c := one(t, mock.Config{}, kmip.V1_4)
	o := symmetric(kmip.AES, 128, nil)
	o.Value = ttlv.Value{}
	location := kmip.Attribute{AttributeName: named(ttlv.TagKeyValueLocation), Value: ttlv.StructValue(0, func(*ttlv.Coder) {})}
	id := do(t, c, &kmip.Register{Object: o, Attributes: kmip.Attributes{mask(1), location}}).UniqueIdentifier
	present, ok := attributesOf(t, c, id).Value(ttlv.TagKeyValuePresent)
	require.True(t, ok)
	require.Equal(t, ttlv.TypeBoolean, present.Type)
	require.Zero(t, present.Data[7])
}

func TestAttributesOfANewKey(t *testing.T) {
	c := one(t, mock.Config{}, kmip.V1_4)
	id := do(t, c, createAES(kmip.NameAttribute("a"), kmip.NameAttribute("b"), kmip.ApplicationAttribute("ns", "data"),
		custom("x-purpose", "test"), kmip.TextAttribute(ttlv.TagContactInformation, "me"))).UniqueIdentifier
	all := attributesOf(t, c, id)
	require.Equal(t, []string{"a", "b"}, all.Names())
	require.Equal(t, []string{"test"}, values(all, kmip.AttributeName{Name: "x-purpose"}))
	data, _ := all.ApplicationData("ns")
	require.Equal(t, "data", data)
	for _, tag := range []ttlv.Tag{ttlv.TagDigest, ttlv.TagInitialDate, ttlv.TagLastChangeDate, ttlv.TagState, ttlv.TagObjectType} {
		_, ok := all.Value(tag)
		require.True(t, ok, tag)
	}
	_, ok := all.Value(ttlv.TagKeyFormatType)
	require.False(t, ok, "it came with 2.0")
	_, ok = all.Value(ttlv.TagKeyValuePresent)
	require.False(t, ok, "PyKMIP's client cannot read it")

	list := do(t, c, &kmip.GetAttributeList{UniqueIdentifier: id}).Names
	require.Contains(t, list, named(ttlv.TagName))
	require.Contains(t, list, kmip.AttributeName{Name: "x-purpose"})

	require.Empty(t, attributesOf(t, c, id, ttlv.TagComment), "what is not set is left out")
	refused(t, c, &kmip.GetAttributes{UniqueIdentifier: id, Names: []kmip.AttributeName{named(ttlv.TagName), named(ttlv.TagName)}}, kmip.InvalidMessage)
}

func TestASecondInstanceIn1_0NeedsAnIndex(t *testing.T) {
	server := start(t, mock.Config{})
	request := createAES(kmip.NameAttribute("a"), kmip.NameAttribute("b"))
	last := len(request.Attributes) - 1
	answer, conn := raw(t, server, message(t, kmip.RequestHeader{Version: kmip.V1_0}, item("", request)))
	require.Equal(t, kmip.InvalidField, answer.Items[0].Reason)
	request.Attributes[last].Index = 1
	require.Zero(t, send(t, conn, message(t, kmip.RequestHeader{Version: kmip.V1_0}, item("", request))).Items[0].Reason)
}

func TestChangeAttributesIn1_4(t *testing.T) {
	c := one(t, mock.Config{}, kmip.V1_4)
	id := do(t, c, createAES(kmip.NameAttribute("zero"))).UniqueIdentifier
	taken := do(t, c, createAES(kmip.NameAttribute("taken"))).UniqueIdentifier
	add := func(a kmip.Attribute) *kmip.AddAttribute {
		return &kmip.AddAttribute{UniqueIdentifier: id, Attribute: a}
	}
	modify := func(a kmip.Attribute, index int32) *kmip.ModifyAttribute {
		a.Index = index
		return &kmip.ModifyAttribute{UniqueIdentifier: id, Attribute: a}
	}
	remove := func(n kmip.AttributeName, index int32) *kmip.DeleteAttribute {
		return &kmip.DeleteAttribute{UniqueIdentifier: id, Name: n, Index: index}
	}

	require.Equal(t, int32(1), do(t, c, add(kmip.NameAttribute("one"))).Attribute.Index)
	refused(t, c, add(kmip.NameAttribute("one")), kmip.InvalidField)
	refused(t, c, add(kmip.NameAttribute("taken")), kmip.InvalidField)
	indexed := kmip.NameAttribute("two")
	indexed.Index = 2
	refused(t, c, add(indexed), kmip.InvalidField)
	refused(t, c, add(kmip.EnumAttribute(ttlv.TagState, kmip.Active)), kmip.PermissionDenied)
	refused(t, c, add(mask(kmip.UsageSign)), kmip.IllegalOperation)

	do(t, c, modify(kmip.NameAttribute("uno"), 1))
	refused(t, c, modify(kmip.NameAttribute("dos"), 2), kmip.ItemNotFound)
	refused(t, c, modify(kmip.NameAttribute("taken"), 1), kmip.InvalidField)
	refused(t, c, modify(kmip.TextAttribute(ttlv.TagComment, "x"), 0), kmip.ItemNotFound)
	refused(t, c, modify(mask(kmip.UsageSign), 0), kmip.PermissionDenied)
	require.Equal(t, []string{"zero", "uno"}, attributesOf(t, c, id, ttlv.TagName).Names())

	require.Equal(t, []string{"zero"}, kmip.Attributes{do(t, c, remove(named(ttlv.TagName), 0)).Attribute}.Names())
	refused(t, c, remove(named(ttlv.TagName), 0), kmip.ItemNotFound)
	do(t, c, remove(named(ttlv.TagName), 1))
	refused(t, c, remove(named(ttlv.TagState), 0), kmip.PermissionDenied)
	refused(t, c, remove(named(ttlv.TagCryptographicUsageMask), 0), kmip.PermissionDenied)
	require.Empty(t, attributesOf(t, c, id, ttlv.TagName))
	do(t, c, &kmip.DeleteAttribute{UniqueIdentifier: taken, Name: named(ttlv.TagName)})
	do(t, c, add(kmip.NameAttribute("taken")))
}

func TestChangeAttributesIn2_1(t *testing.T) {
	c := one(t, mock.Config{}, kmip.V2_1)
	id := do(t, c, createAES(kmip.NameAttribute("a"), vendorAttribute("red"))).UniqueIdentifier
	do(t, c, &kmip.AddAttribute{UniqueIdentifier: id, Attribute: kmip.NameAttribute("b")})
	do(t, c, &kmip.AddAttribute{UniqueIdentifier: id, Attribute: kmip.TextAttribute(ttlv.TagComment, "first")})
	refused(t, c, &kmip.AddAttribute{UniqueIdentifier: id, Attribute: kmip.TextAttribute(ttlv.TagComment, "second")}, kmip.AttributeSingleValued)

	current := kmip.NameAttribute("b")
	do(t, c, &kmip.ModifyAttribute{UniqueIdentifier: id, Current: &current, Attribute: kmip.NameAttribute("c")})
	refused(t, c, &kmip.ModifyAttribute{UniqueIdentifier: id, Current: &current, Attribute: kmip.NameAttribute("d")}, kmip.AttributeInstanceNotFound)
	refused(t, c, &kmip.ModifyAttribute{UniqueIdentifier: id, Attribute: kmip.NameAttribute("d")}, kmip.MultiValuedAttribute)
	refused(t, c, &kmip.ModifyAttribute{UniqueIdentifier: id, Current: &current, Attribute: kmip.TextAttribute(ttlv.TagComment, "x")}, kmip.InvalidField)
	do(t, c, &kmip.ModifyAttribute{UniqueIdentifier: id, Attribute: kmip.TextAttribute(ttlv.TagComment, "second")})
	all := attributesOf(t, c, id)
	require.Equal(t, []string{"a", "c"}, all.Names())
	require.Equal(t, []string{"second"}, values(all, named(ttlv.TagComment)))
	require.Equal(t, []string{"red"}, values(all, vendorAttribute("").AttributeName))

	first := kmip.NameAttribute("a")
	do(t, c, &kmip.DeleteAttribute{UniqueIdentifier: id, Current: &first})
	refused(t, c, &kmip.DeleteAttribute{UniqueIdentifier: id, Current: &first}, kmip.AttributeInstanceNotFound)
	do(t, c, &kmip.DeleteAttribute{UniqueIdentifier: id, Name: named(ttlv.TagName)})
	refused(t, c, &kmip.DeleteAttribute{UniqueIdentifier: id, Name: named(ttlv.TagName)}, kmip.AttributeNotFound)
	refused(t, c, &kmip.DeleteAttribute{UniqueIdentifier: id, Name: named(ttlv.TagState)}, kmip.AttributeReadOnly)
}

// TestDeleteAttributeSaysOneThing: a reference stands for all instances, beside a current attribute for nobody knows what.
func TestDeleteAttributeSaysOneThing(t *testing.T) {
	server := start(t, mock.Config{})
	c := connect(t, server.Client(), kmip.V2_1)
	current := kmip.NameAttribute("a")
	id := do(t, c, createAES(current, kmip.NameAttribute("b"))).UniqueIdentifier
	answer, _ := raw(t, server, handmade(t, kmip.V2_1, kmip.OpDeleteAttribute, nothing, func(c *ttlv.Coder) {
		c.Text(ttlv.TagUniqueIdentifier, &id)
		c.Struct(ttlv.TagCurrentAttribute, func(c *ttlv.Coder) { c.Value(current.Tag, &current.Value) })
		ttlv.Enum(c, ttlv.TagAttributeReference, &current.Tag)
	}))
	require.Equal(t, kmip.InvalidMessage, answer.Items[0].Reason)
	require.Equal(t, []string{"a", "b"}, attributesOf(t, c, id).Names())

	do(t, c, &kmip.DeleteAttribute{UniqueIdentifier: id, Current: &current, Name: current.AttributeName})
	require.Equal(t, []string{"b"}, attributesOf(t, c, id).Names())
}

func TestLocate(t *testing.T) {
	c := one(t, mock.Config{DecimalIDs: true}, kmip.V1_4)
	group := kmip.TextAttribute(ttlv.TagObjectGroup, "g")
	day := func(n int) time.Time { return time.Date(2030, 1, n, 0, 0, 0, 0, time.UTC) }
	for n, a := range []kmip.Attributes{
		{kmip.NameAttribute("one"), group, kmip.TimeAttribute(ttlv.TagActivationDate, day(1))},
		{kmip.ApplicationAttribute("ns", "two"), group, kmip.TimeAttribute(ttlv.TagActivationDate, day(2))},
		{custom("x-n", "three"), kmip.TimeAttribute(ttlv.TagActivationDate, day(3))},
	} {
		require.Equal(t, []string{"1", "2", "3"}[n], do(t, c, createAES(a...)).UniqueIdentifier)
	}
	at := func(n int) kmip.Attribute { return kmip.TimeAttribute(ttlv.TagActivationDate, day(n)) }
	for _, test := range []struct {
		name   string
		locate kmip.Locate
		hits   []string
		all    int32
	}{
		{"all, the newest first", kmip.Locate{}, []string{"3", "2", "1"}, 3},
		{"by name", kmip.Locate{Attributes: kmip.Attributes{kmip.NameAttribute("one")}}, []string{"1"}, 1},
		{"by group", kmip.Locate{Attributes: kmip.Attributes{group}}, []string{"2", "1"}, 2},
		{"by two", kmip.Locate{Attributes: kmip.Attributes{group, kmip.NameAttribute("one")}}, []string{"1"}, 1},
		{"by namespace", kmip.Locate{Attributes: kmip.Attributes{kmip.ApplicationAttribute("ns", "two")}}, []string{"2"}, 1},
		{"by custom", kmip.Locate{Attributes: kmip.Attributes{custom("x-n", "three")}}, []string{"3"}, 1},
		{"by date", kmip.Locate{Attributes: kmip.Attributes{at(2)}}, []string{"2"}, 1},
		{"by dates", kmip.Locate{Attributes: kmip.Attributes{at(1), at(2)}}, []string{"2", "1"}, 2},
		{"by use", kmip.Locate{Attributes: kmip.Attributes{mask(kmip.UsageEncrypt)}}, []string{"3", "2", "1"}, 3},
		{"by state", kmip.Locate{Attributes: kmip.Attributes{kmip.EnumAttribute(ttlv.TagState, kmip.Active)}}, nil, 0},
		{"two at most", kmip.Locate{MaximumItems: 2}, []string{"3", "2"}, 3},
		{"the next two", kmip.Locate{MaximumItems: 2, OffsetItems: 2}, []string{"1"}, 3},
		{"beyond", kmip.Locate{OffsetItems: 9}, nil, 3},
		{"archived", kmip.Locate{StorageStatusMask: 2}, nil, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			answer := do(t, c, &test.locate)
			require.Equal(t, test.hits, answer.UniqueIdentifiers)
			require.Equal(t, test.all, answer.LocatedItems)
		})
	}
	refused(t, c, &kmip.Locate{MaximumItems: -1}, kmip.InvalidField)
	refused(t, c, &kmip.Locate{StorageStatusMask: 4}, kmip.InvalidField) // which came with 2.0
	refused(t, one(t, mock.Config{}, kmip.V2_0), &kmip.Locate{StorageStatusMask: 8}, kmip.InvalidField)
	do(t, one(t, mock.Config{}, kmip.V2_0), &kmip.Locate{StorageStatusMask: 4})
	refused(t, c, &kmip.Locate{Attributes: kmip.Attributes{at(1), at(2), at(3)}}, kmip.InvalidField)
	refused(t, c, &kmip.Locate{Attributes: kmip.Attributes{custom("purpose", "x")}}, kmip.InvalidField)
}

// TestLocateOfAll: from 2.0 on the Attributes should be there, if empty, but PyKMIP's client leaves them out.
func TestLocateOfAll(t *testing.T) {
	server := start(t, mock.Config{})
	for _, v := range kmip.Versions() {
		c := connect(t, server.Client(), v)
		id := do(t, c, createAES()).UniqueIdentifier
		require.Equal(t, []string{id}, do(t, c, &kmip.Locate{}).UniqueIdentifiers)
		answer, _ := raw(t, server, handmade(t, v, kmip.OpLocate, nothing, nothing))
		require.Equal(t, kmip.StatusSuccess, answer.Items[0].Status, v)
		do(t, c, &kmip.Destroy{UniqueIdentifier: id})
	}
}

// TestFreshUntilServed: every new cryptographic object is fresh, until a client gets it.
func TestFreshUntilServed(t *testing.T) {
	c := one(t, mock.Config{}, kmip.V1_1)
	fresh := func(id string) string {
		v, _ := attributesOf(t, c, id, ttlv.TagFresh).Value(ttlv.TagFresh)
		return hex.EncodeToString(v.Data)
	}
	group := kmip.TextAttribute(ttlv.TagObjectGroup, "g")
	id := do(t, c, createAES(group)).UniqueIdentifier
	next := &kmip.Locate{ObjectGroupMember: 1, Attributes: kmip.Attributes{group}}
	require.Equal(t, "0000000000000001", fresh(id))
	require.Contains(t, do(t, c, &kmip.GetAttributeList{UniqueIdentifier: id}).Names, named(ttlv.TagFresh))
	require.Equal(t, []string{id}, do(t, c, next).UniqueIdentifiers)

	do(t, c, &kmip.Get{UniqueIdentifier: id})
	require.Equal(t, "0000000000000000", fresh(id))
	require.Empty(t, do(t, c, next).UniqueIdentifiers)
}

func TestGroupsAreServedInTurn(t *testing.T) {
	c := one(t, mock.Config{DecimalIDs: true}, kmip.V1_4)
	group := kmip.TextAttribute(ttlv.TagObjectGroup, "g")
	for range 3 {
		do(t, c, createAES(group))
	}
	for _, want := range []string{"1", "2", "3", "1"} {
		var b kmip.Batch
		kmip.Add(&b, &kmip.Locate{ObjectGroupMember: 2, Attributes: kmip.Attributes{group}})
		got := kmip.Add(&b, &kmip.Get{})
		require.NoError(t, c.Run(t.Context(), &b))
		require.Equal(t, want, got.Response.UniqueIdentifier)
	}
}
