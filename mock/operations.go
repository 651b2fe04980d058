package mock

import (
	"slices"
	"time"

	"kmip-keymgr/kmip"
	"kmip-keymgr/ttlv"
)

// turn is one message being served: who asks, when, in which version, and the ID Placeholder, which goes from one item
// to the next and never further (section 4).
type turn struct {
	server      *Server
	store       *store
	version     kmip.Version
	client      Identity
	now         time.Time
	ordered     bool // the items are to run in their order
	placeholder string
	room        int // bytes of values that the reply may still grow by
}

// run runs the items of a message in order and appends their answers to list.
func (t *turn) run(m *kmip.RequestMessage, list []kmip.ResponseItem, faults failing) []kmip.ResponseItem {
	for i := range m.Items {
		item := &m.Items[i]
		answer := kmip.ResponseItem{Operation: item.Operation, ID: item.ID}
		payload, err := t.item(item, faults)
		if err != nil {
			fail(&answer, err, t.version)
		} else {
			answer.Payload = payload
		}
		list = append(list, answer)
		if err != nil && m.Header.ErrorContinuation != kmip.BatchContinue {
			break
		}
	}
	return list
}

// item runs one item, if it may run at all.
func (t *turn) item(item *kmip.RequestItem, faults failing) (kmip.Payload, error) {
	switch reason := faults.reason(item.Operation); {
	case reason != 0:
		return nil, injected{refusal(reason, "injected fault")}
	case !t.server.supports(item.Operation, t.version):
		return nil, refusal(kmip.OperationNotSupported, "no operation %v in KMIP %v here", item.Operation, t.version)
	case item.Extension != nil && item.Extension.Critical:
		return nil, refusal(kmip.FeatureNotSupported, "a critical message extension that is not known")
	}
	if err := t.client.may(item.Operation); err != nil {
		return nil, err
	}
	return t.fitting(t.operation(item.Payload))
}

// fitting refuses a payload for which the reply has no room left.
func (t *turn) fitting(p kmip.Payload, err error) (kmip.Payload, error) {
	if err != nil {
		return nil, err
	}
	n := size(p)
	if n > t.room {
		forget([]kmip.ResponseItem{{Payload: p}})
		return nil, refusal(kmip.ResponseTooLarge, "%d bytes more would make the response larger than %d", n, maxReply)
	}
	t.room -= n
	return p, nil
}

// size is about how many bytes a payload adds to the reply. Only answers to what changes nothing can be large, so any other
// counts as nothing.
func size(p kmip.Payload) (bytes int) {
	switch p := p.(type) {
	case *kmip.GetResponse:
		return len(p.Object.Value.Data)
	case *kmip.GetAttributesResponse:
		for i := range p.Attributes {
			bytes += len(p.Attributes[i].Value.Data)
		}
	case *kmip.LocateResponse:
		const header, padding = 8, 8
		for _, id := range p.UniqueIdentifiers {
			bytes += header + len(id) + padding
		}
	}
	return bytes
}

// supports reports whether the server has an operation in that version.
func (s *Server) supports(o kmip.Operation, v kmip.Version) bool {
	since := o.Since()
	return since != 0 && since <= v && !slices.Contains(s.config.Without, o)
}

// operation runs one operation. Beside an error the payload means nothing: fitting drops it.
func (t *turn) operation(p kmip.Payload) (kmip.Payload, error) {
	switch p := p.(type) {
	case *kmip.Create:
		return t.create(p)
	case *kmip.CreateKeyPair:
		return t.createKeyPair(p)
	case *kmip.Register:
		return t.register(p)
	case *kmip.Locate:
		return t.locate(p)
	case *kmip.Get:
		return t.get(p)
	case *kmip.GetAttributes:
		return t.getAttributes(p)
	case *kmip.GetAttributeList:
		return t.getAttributeList(p)
	case *kmip.AddAttribute:
		return t.addAttribute(p)
	case *kmip.ModifyAttribute:
		return t.modifyAttribute(p)
	case *kmip.DeleteAttribute:
		return t.deleteAttribute(p)
	case *kmip.Activate:
		return t.activate(p)
	case *kmip.Revoke:
		return t.revoke(p)
	case *kmip.Destroy:
		return t.destroy(p)
	case *kmip.Query:
		return t.query(p)
	case *kmip.DiscoverVersions:
		return t.discoverVersions(p)
	}
	return nil, refusal(kmip.OperationNotSupported, "no such operation here")
}

// create makes a symmetric key (section 4.1).
func (t *turn) create(p *kmip.Create) (kmip.Payload, error) {
	if p.ObjectType != kmip.SymmetricKeyObject {
		return nil, refusal(kmip.InvalidField, "Create makes symmetric keys, not objects of type %v", p.ObjectType)
	}
	given, err := accept(p.Attributes, p.ObjectType, t.version)
	if err == nil {
		err = given.checkKey()
	}
	if err != nil {
		return nil, err
	}
	value, err := newSymmetricKey(given.algorithm(), given.int(ttlv.TagCryptographicLength))
	if err != nil {
		return nil, err
	}
	o := t.newObject(value, given)
	if err := t.store.add(func() {}, o); err != nil {
		return nil, err
	}
	t.placeholder = o.id
	return &kmip.CreateResponse{ObjectType: p.ObjectType, UniqueIdentifier: o.id}, nil
}

// checkKey makes sure that a new key is described in full (sections 3.4, 3.5 and 3.19).
func (l attributes) checkKey() error {
	for _, tag := range []ttlv.Tag{ttlv.TagCryptographicAlgorithm, ttlv.TagCryptographicLength, ttlv.TagCryptographicUsageMask} {
		if !l.has(tag) {
			return refusal(kmip.InvalidField, "a key needs the attribute %v", tag)
		}
	}
	return nil
}

func (l attributes) algorithm() kmip.CryptographicAlgorithm {
	return kmip.CryptographicAlgorithm(l.enum(ttlv.TagCryptographicAlgorithm))
}

// createKeyPair makes a key pair, whose halves are linked (section 4.2).
func (t *turn) createKeyPair(p *kmip.CreateKeyPair) (kmip.Payload, error) {
	private, err := t.half(p.Common, p.Private, kmip.PrivateKeyObject)
	if err != nil {
		return nil, err
	}
	public, err := t.half(p.Common, p.Public, kmip.PublicKeyObject)
	if err != nil {
		return nil, err
	}
	length := private.int(ttlv.TagCryptographicLength)
	if private.algorithm() != public.algorithm() || length != public.int(ttlv.TagCryptographicLength) {
		return nil, refusal(kmip.InvalidField, "the halves differ in algorithm or length")
	}
	privateKey, publicKey, err := newKeyPair(private.algorithm(), length)
	if err != nil {
		return nil, err
	}
	a, b := t.newObject(privateKey, private), t.newObject(publicKey, public)
	err = t.store.add(func() {
		a.add(kmip.LinkAttribute(kmip.PublicKeyLink, b.id))
		b.add(kmip.LinkAttribute(kmip.PrivateKeyLink, a.id))
	}, a, b)
	if err != nil {
		return nil, err
	}
	t.placeholder = a.id
	return &kmip.CreateKeyPairResponse{Private: a.id, Public: b.id}, nil
}

// half are the attributes of one half of a key pair.
func (t *turn) half(common, own kmip.Attributes, typ kmip.ObjectType) (attributes, error) {
	given, err := accept(slices.Concat(common, own), typ, t.version)
	if err != nil {
		return nil, err
	}
	return given, given.checkKey()
}

// register takes in an object that the client has (section 4.3).
func (t *turn) register(p *kmip.Register) (kmip.Payload, error) {
	given, err := accept(p.Attributes, p.Object.Type, t.version)
	if err != nil {
		return nil, err
	}
	if err := given.describe(&p.Object, t.version); err != nil {
		return nil, err
	}
	o := t.newObject(copyObject(&p.Object), given)
	if err := t.store.add(func() {}, o); err != nil {
		return nil, err
	}
	t.placeholder = o.id
	return &kmip.RegisterResponse{UniqueIdentifier: o.id}, nil
}

// get fetches an object's value (section 4.11). The payload holds a copy, which is cleared when it is encoded.
func (t *turn) get(p *kmip.Get) (kmip.Payload, error) {
	switch {
	case p.Wrapping.Type != 0 || p.WrapType > 1: // 1 is Not Wrapped
		return nil, refusal(kmip.FeatureNotSupported, "keys are not wrapped here")
	case p.WrapType != 0 && t.version < sinceCorrelation:
		return nil, invalid("Key Wrap Type came with KMIP %v", sinceCorrelation)
	case p.Compression != 0:
		return nil, refusal(kmip.KeyCompressionTypeNotSupported, "keys are not compressed here")
	}
	r := new(kmip.GetResponse)
	err := t.store.with(t, p.UniqueIdentifier, func(o *object) (err error) {
		if err = o.readable(); err != nil {
			return err
		}
		r.UniqueIdentifier = o.id
		if r.Object, err = inFormat(&o.Object, p.Format); err == nil {
			t.store.fetch(o)
		}
		return err
	})
	return r, err
}

// readable tells why an object's value may not leave the server.
func (o *object) readable() error {
	switch {
	case o.isTrue(ttlv.TagSensitive):
		return refusal(kmip.Sensitive, "the object is sensitive")
	case o.isBool(ttlv.TagExtractable, false):
		return refusal(kmip.NotExtractable, "the object is not extractable")
	}
	return nil
}

// fetch notes that an object was given out, and is not fresh any more (section 3.34).
func (s *store) fetch(o *object) {
	s.fetches++
	o.fetched = s.fetches
	if o.isTrue(ttlv.TagFresh) {
		o.put(ttlv.TagFresh, boolValue(false))
	}
}

// activate makes a Pre-Active object Active (section 4.19).
func (t *turn) activate(p *kmip.Activate) (kmip.Payload, error) {
	r := new(kmip.ActivateResponse)
	err := t.store.with(t, p.UniqueIdentifier, func(o *object) error {
		switch {
		case o.state() == 0:
			return refusal(kmip.IllegalOperation, "an object of type %v has no state", o.Type)
		case o.state() != kmip.PreActive:
			return refusal(kmip.PermissionDenied, "the object is %v, not PreActive", o.state())
		}
		next := slices.Clone(o.attributes)
		next.put(ttlv.TagActivationDate, ttlv.TimeValue(t.now))
		if err := next.checkDates(); err != nil {
			return err
		}
		o.attributes = next
		t.store.changed(o, t.now)
		r.UniqueIdentifier = o.id
		return nil
	})
	return r, err
}

// caCompromise and the codes after it are those of section 9.1.3.2.19 that no client here sends.
const (
	caCompromise       kmip.RevocationReasonCode = 3
	privilegeWithdrawn kmip.RevocationReasonCode = 7
)

// revoke deactivates an Active object, or marks one in any state as compromised (section 4.20).
func (t *turn) revoke(p *kmip.Revoke) (kmip.Payload, error) {
	compromise := p.Code == kmip.KeyCompromise || p.Code == caCompromise
	_, isTime := p.Compromise.Time()
	switch {
	case p.Code == 0 || p.Code > privilegeWithdrawn:
		return nil, refusal(kmip.InvalidField, "no revocation reason 0x%X", uint32(p.Code))
	case p.Compromise.Type != 0 && !(compromise && isTime):
		return nil, refusal(kmip.InvalidField, "a Compromise Occurrence Date belongs to a compromise, and is a date")
	}
	r := new(kmip.RevokeResponse)
	err := t.store.with(t, p.UniqueIdentifier, func(o *object) error {
		switch state := o.state(); {
		case state == 0:
			return refusal(kmip.IllegalOperation, "an object of type %v has no state", o.Type)
		case compromise:
			t.compromise(o, p)
		case state != kmip.Active:
			return refusal(kmip.IllegalOperation, "the object is %v, not Active", state)
		default:
			o.put(ttlv.TagDeactivationDate, ttlv.TimeValue(t.now))
			o.setState(kmip.Deactivated)
		}
		o.put(ttlv.TagRevocationReason, revocationReason(p))
		t.store.changed(o, t.now)
		r.UniqueIdentifier = o.id
		return nil
	})
	return r, err
}

func (t *turn) compromise(o *object, p *kmip.Revoke) {
	o.setState(kmip.Compromised)
	o.putNew(ttlv.TagCompromiseDate, ttlv.TimeValue(t.now))
	if when, ok := p.Compromise.Time(); ok {
		o.putNew(ttlv.TagCompromiseOccurrenceDate, ttlv.TimeValue(when))
	}
}

// revocationReason is the attribute of section 3.31.
func revocationReason(p *kmip.Revoke) ttlv.Value {
	return ttlv.StructValue(0, func(c *ttlv.Coder) {
		ttlv.Enum(c, ttlv.TagRevocationReasonCode, &p.Code)
		ttlv.Optional(c, ttlv.TagRevocationMessage, &p.Message, (*ttlv.Coder).Text)
	})
}

// destroy forgets an object that is not Active (section 4.21).
func (t *turn) destroy(p *kmip.Destroy) (kmip.Payload, error) {
	r := new(kmip.DestroyResponse)
	err := t.store.with(t, p.UniqueIdentifier, func(o *object) error {
		if o.state() == kmip.Active {
			return refusal(kmip.PermissionDenied, "the object is Active")
		}
		t.store.destroy(o, t.now)
		r.UniqueIdentifier = o.id
		return nil
	})
	return r, err
}

// query says what the server can do (section 4.25).
func (t *turn) query(p *kmip.Query) (kmip.Payload, error) {
	if len(p.Functions) == 0 {
		return nil, invalid("a Query without a question")
	}
	r := new(kmip.QueryResponse)
	for _, f := range p.Functions {
		switch f {
		case kmip.QueryOperations:
			r.Operations = slices.DeleteFunc(kmip.Operations(), func(o kmip.Operation) bool { return !t.server.supports(o, t.version) })
		case kmip.QueryObjects:
			r.ObjectTypes = []kmip.ObjectType{
				kmip.CertificateObject, kmip.SymmetricKeyObject, kmip.PublicKeyObject,
				kmip.PrivateKeyObject, kmip.SecretDataObject, kmip.OpaqueObject,
			}
		case kmip.QueryServerInformation:
			r.VendorIdentification = "kmip-mock"
		default:
			if f == 0 || f > lastQuery(t.version) {
				return nil, refusal(kmip.InvalidField, "no query function 0x%X in KMIP %v", uint32(f), t.version)
			}
		}
	}
	return r, nil
}

// lastQuery is the last query function of a version (section 9.1.3.2.24; KMIP 2.1 section 11.44).
func lastQuery(v kmip.Version) kmip.QueryFunction {
	switch {
	case v >= kmip.V2_0:
		return 14
	case v >= kmip.V1_3:
		return 12
	case v == kmip.V1_2:
		return 7
	case v == kmip.V1_1:
		return 6
	}
	return 4
}

// discoverVersions lists the server's versions, or those of the client's that it speaks too (section 4.26).
func (t *turn) discoverVersions(p *kmip.DiscoverVersions) (kmip.Payload, error) {
	list := t.server.config.Versions.list()
	if len(p.Versions) > 0 {
		list = slices.DeleteFunc(list, func(v kmip.Version) bool { return !slices.Contains(p.Versions, v) })
	}
	return &kmip.DiscoverVersionsResponse{Versions: list}, nil
}
