package keymgr

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"time"

	"kmip-keymgr/internal/secret"
	"kmip-keymgr/kmip"
	"kmip-keymgr/protocol"
	"kmip-keymgr/ttlv"
)

// description is what a new object records besides its value: its unique Name and where it came from.
type description struct {
	name     string // a UUID that it alone has
	server   string // that was asked to make it last, and did not answer; "" for none
	left     []left // what servers that were given up may have made
	unproven bool   // only the server's answer says that the new identifier is this object's
	record   record
	further  kmip.Attributes
}

// left is an object that a server may have made, and that nobody will use.
type left struct{ server, name string }

// leave gives the object a Name that no server has been asked for. What one was asked to make, and did not answer, may have been
// made.
func (d *description) leave() {
	if d.server != "" {
		d.left = append(d.left, left{d.server, d.name})
	}
	d.name, d.server = protocol.NewUUID(), ""
}

// adopt takes an object for the one described, which another attempt may have made a second time.
func (d *description) adopt(f *found, server string) {
	d.server = ""
	if f.twins {
		d.left = append(d.left, left{server, d.name})
	}
}

// renaming is an attempt to make what is described. Where the client has moved to another server since the last attempt, each
// object gets a new Name: the first server may have made it after all, and once the servers replicate, two objects must not
// share a Name.
func (m *Manager) renaming(try func() error, all ...*description) func() error {
	return func() error {
		for _, d := range all {
			if d.server != "" && d.server != m.client.Server() {
				d.leave()
			}
		}
		err := try()
		if outcomeUnknown(err) {
			for _, d := range all {
				d.server = m.client.Server()
			}
		}
		return err
	}
}

// doubt is an error about new objects, if any, where an earlier attempt at another server may have made them too.
func doubt(err error, all ...*description) error {
	if err == nil || !slices.ContainsFunc(all, func(d *description) bool { return len(d.left) > 0 }) {
		return err
	}
	return &uncertain{err, []string{mayExist(all...)}}
}

// checkExpiration refuses what would have expired before it is made.
func checkExpiration(at *time.Time) error {
	if at != nil && isPast(*at) {
		return invalid("args.expiration: must be in the future")
	}
	return nil
}

func (m *Manager) describe(who *protocol.Context, name string, expiration *time.Time) *description {
	d := &description{name: protocol.NewUUID(), record: newRecord(who, name)}
	if m.config.ObjectGroup != "" {
		d.further = append(d.further, kmip.TextAttribute(ttlv.TagObjectGroup, m.config.ObjectGroup))
	}
	if expiration != nil {
		d.further = append(d.further, kmip.TimeAttribute(ttlv.TagDeactivationDate, *expiration))
	}
	return d
}

// expired reports whether the Deactivation Date has passed already.
func (d *description) expired() bool {
	at, ok := d.further.Time(ttlv.TagDeactivationDate)
	return ok && isPast(at)
}

// isPast reports whether a server would refuse to activate what is to be deactivated by then (section 3.27).
func isPast(at time.Time) bool { return !at.After(time.Now()) }

// attributes are the description as the server takes it.
func (m *Manager) attributes(d *description) kmip.Attributes {
	list := kmip.Attributes{kmip.NameAttribute(d.name)}
	if m.packed {
		list = append(list, d.record.packed()...)
	} else {
		list = append(list, d.record.attributes()...)
	}
	return append(list, d.further...)
}

// spec is what kind of key it is. Every Create and Register carries all of it, since servers insist.
type spec struct {
	algorithm kmip.CryptographicAlgorithm
	length    int // bits
	usage     kmip.UsageMask
}

// newSpec is the spec of a key or a pair to be made, without what it is for.
func newSpec(algorithm string, length int) (*spec, error) {
	a, err := parseAlgorithm("args.algorithm", algorithm)
	if err != nil {
		return nil, err
	}
	return &spec{algorithm: a, length: length}, nil
}

func parseAlgorithm(field, name string) (kmip.CryptographicAlgorithm, error) {
	a, ok := kmip.ParseAlgorithm(name)
	if !ok {
		return 0, invalid("%s: KMIP has no algorithm of that name", field)
	}
	return a, nil
}

func (s *spec) attributes() kmip.Attributes {
	var list kmip.Attributes
	if s.algorithm != 0 {
		list = append(list, kmip.EnumAttribute(ttlv.TagCryptographicAlgorithm, s.algorithm))
	}
	if s.length != 0 {
		list = append(list, kmip.IntAttribute(ttlv.TagCryptographicLength, int32(s.length)))
	}
	if s.usage != 0 {
		list = append(list, kmip.IntAttribute(ttlv.TagCryptographicUsageMask, s.usage))
	}
	return list
}

// create makes a symmetric key, here if the server does not make keys of that length, and returns its key id.
func (m *Manager) create(ctx context.Context, s *spec, d *description) (string, error) {
	id, err := m.make(ctx, d, m.config.Activate, func(b *kmip.Batch, described kmip.Attributes) func() (string, error) {
		request := &kmip.Create{ObjectType: kmip.SymmetricKeyObject, Attributes: append(s.attributes(), described...)}
		return identifier(kmip.Add(b, request), func(r *kmip.CreateResponse) string { return r.UniqueIdentifier })
	})
	if err != nil && s.isXTS() && isObjectRefused(err) {
		d.leave() // for it must not share a Name with what may have been made after all, or with what was destroyed again
		id, again := m.generate(ctx, s, d)
		return id, keepDoubt(again, err, mayExist(d))
	}
	return id, err
}

// isXTS reports whether the key is two AES keys in one, as dm-crypt's XTS mode takes them. A server that knows AES alone has
// no key of such a length, but stores one.
func (s *spec) isXTS() bool { return s.algorithm == kmip.AES && (s.length == 384 || s.length == 512) }

// generate makes the key here and registers it.
func (m *Manager) generate(ctx context.Context, s *spec, d *description) (string, error) {
	key := make(secret.Bytes, s.length/8)
	defer key.Clear()
	_, _ = rand.Read(key) // ends the program rather than return an error
	return m.register(ctx, keyObject(kmip.SymmetricKeyObject, kmip.Raw, s, key), s, d)
}

// store registers an object and returns its key id.
func (m *Manager) store(ctx context.Context, o *protocol.Object, d *description) (string, error) {
	object, s, err := encode(o)
	if err != nil {
		return "", err
	}
	return m.register(ctx, object, s, d)
}

func (m *Manager) register(ctx context.Context, object *kmip.Object, s *spec, d *description) (string, error) {
	activate := m.config.Activate && object.Type != kmip.OpaqueObject // which has no State (section 3.22)
	return m.make(ctx, d, activate, func(b *kmip.Batch, described kmip.Attributes) func() (string, error) {
		request := &kmip.Register{Object: *object, Attributes: append(s.attributes(), described...)}
		return identifier(kmip.Add(b, request), func(r *kmip.RegisterResponse) string { return r.UniqueIdentifier })
	})
}

// identifier reads the identifier of a new object out of the result that will say it.
func identifier[R any](result *kmip.Result[R], of func(*R) string) func() (string, error) {
	return func() (string, error) {
		if result.Err != nil {
			return "", result.Err
		}
		return of(result.Response), nil
	}
}

// adder adds to a batch the request that makes an object with those attributes. The function it returns gives the new
// identifier, once the batch has run.
type adder func(b *kmip.Batch, described kmip.Attributes) func() (string, error)

// make makes an object as its description says, Active if it should be, and returns its key id. The copy of an expired one
// stays Pre-Active.
func (m *Manager) make(ctx context.Context, d *description, activate bool, add adder) (keyID string, err error) {
	activate = activate && !d.expired()
	var id string
	var active error
	try := m.renaming(func() error {
		return m.fitting(&d.record, func() (err error) {
			id, active, err = m.tryMake(ctx, d, activate, add)
			return err
		})
	}, d)
	var adopted *found
	look := func() (there bool, err error) {
		adopted, err = m.madeAs(ctx, d.name)
		return adopted != nil, err
	}
	if err := m.once(ctx, change{try: try, look: look}); err != nil {
		return "", noting(err, mayExist(d))
	}
	m.client.Pin(true)
	m.report(d)
	if adopted != nil {
		id, active = adopted.id, kmip.ErrNotRun
		d.adopt(adopted, m.client.Server())
		err = m.checkRecord(ctx, adopted.id, d, adopted.record)
	}
	if err == nil && activate {
		err = m.ensureActive(ctx, id, d, active)
	}
	return d.keyID(id), doubt(err, d)
}

// keyID is the key id of the object that got this identifier.
func (d *description) keyID(id string) string {
	if protocol.IsUUID(id) {
		return id
	}
	return d.name
}

// fitting has something made that records this. What a server refused is tried once more with the record in its plainest
// form, which one may take that has trouble with several instances of an attribute, as PyKMIP's has in 2.0, or with text
// beyond ASCII.
func (m *Manager) fitting(r *record, try func() error) error {
	err := try()
	if m.packed || !isObjectRefused(err) || r.isPlain() {
		return err
	}
	m.packed = true
	again := try()
	m.packed = again == nil && r.isASCII() // and so from now on, where the instances were the trouble
	return again
}

// tryMake makes an object, and has it shown and activated in the same round trip. The second result is how activating it
// went.
func (m *Manager) tryMake(ctx context.Context, d *description, activate bool, add adder) (id string, active, err error) {
	var b kmip.Batch
	made := add(&b, m.attributes(d))
	shown := kmip.Add(&b, showName(""))
	activated := &kmip.Result[kmip.ActivateResponse]{}
	if activate {
		activated = kmip.Add(&b, &kmip.Activate{})
	}
	failed := m.client.Run(ctx, &b)
	id, err = made()
	if failed != nil && errors.Is(err, kmip.ErrNotRun) {
		return "", nil, failed
	}
	if err == nil {
		err = m.prove(ctx, id, d, shown, failed)
	}
	if err == nil {
		if err = m.checkRecord(ctx, id, d, d.shownIn(shown)); err != nil {
			d.leave() // some servers keep the Name of what is destroyed taken
		}
	}
	return id, activated.Err, err
}

// checkRecord undoes an object, which is the one described, that does not say whose it is where that decides who sees it:
// it would be lost to its project.
func (m *Manager) checkRecord(ctx context.Context, id string, d *description, kept record) error {
	if m.keeps(d, kept) {
		return nil
	}
	defer m.client.Pin(m.client.Pin(true))
	return m.undo(ctx, id, d, errNotKept())
}

// shownIn is the record that the object shows, the one described where the server shows none of its attributes.
func (d *description) shownIn(shown *kmip.Result[kmip.GetAttributesResponse]) record {
	if shown.Err != nil {
		return d.record
	}
	return recordOf(shown.Response.Attributes.Applications())
}

func (m *Manager) keeps(d *description, kept record) bool {
	return !m.config.ProjectIsolation || kept.Project == d.record.Project
}

func errNotKept() error {
	return &kmip.ResultError{Reason: kmip.UnsupportedAttribute, Message: "the server did not keep the new object's Application " +
		"Specific Information, which project_isolation needs"}
}

// showName asks for the Names of an object and its record, the placeholder's where id is "".
func showName(id string) *kmip.GetAttributes {
	return &kmip.GetAttributes{UniqueIdentifier: id, Names: []kmip.AttributeName{
		{Tag: ttlv.TagName}, {Tag: ttlv.TagApplicationSpecificInformation},
	}}
}

// prove makes sure that the object the server says it made is the one described. An identifier alone proves nothing: with
// one from the answer to an earlier request, two volumes would have the same key. Where the server does not show Names, a
// Locate by Name decides; where it does neither, it is believed. failed is the error of the message itself, if any.
func (m *Manager) prove(ctx context.Context, id string, d *description, shown *kmip.Result[kmip.GetAttributesResponse], failed error) error {
	d.unproven = false
	err := shown.Err
	if errors.Is(err, kmip.ErrNotRun) && failed != nil {
		err = failed
	}
	switch {
	case err == nil && slices.Contains(shown.Response.Attributes.Names(), d.name):
		return nil
	case err == nil:
		return m.notShown("it has others")
	case isLost(err):
		return &uncertain{err, nil} // which has it looked for by its Name
	case isNotFound(err), !isRefusal(err) && !errors.Is(err, kmip.ErrNotRun):
		return m.notShown(err.Error())
	}
	return m.proveByLocate(ctx, id, d, err)
}

// proveByLocate is prove for a server that refuses to show the object's Names.
func (m *Manager) proveByLocate(ctx context.Context, id string, d *description, err error) error {
	defer m.client.Pin(m.client.Pin(true))
	ids, unseen := withName(ctx, m.client, d.name)
	switch {
	case isRefusal(unseen):
		d.unproven = true
		return nil
	case isLost(unseen):
		return &uncertain{unseen, nil}
	case unseen != nil:
		return m.notShown(err.Error() + ", and then " + unseen.Error())
	case len(ids) > 0 && !slices.Contains(ids, id):
		return m.notShown(err.Error() + ", and another has it")
	}
	d.unproven = len(ids) == 0
	return nil
}

// isLost reports whether there was no answer.
func isLost(err error) bool {
	var lost *kmip.TransportError
	return errors.As(err, &lost)
}

// notShown is the error of an object that was perhaps made, but is not the one that the server gave the identifier of.
func (m *Manager) notShown(why string) error {
	return &kmip.BadResponseError{Server: m.client.Server(), Err: errors.New("the object that the server says it made does not have its Name: " + why), MaybeExecuted: true}
}

// isObjectRefused reports whether a server refused what an object should be.
func isObjectRefused(err error) bool {
	var refused *kmip.ResultError
	if !errors.As(err, &refused) {
		return false
	}
	switch refused.Reason {
	case kmip.InvalidField, kmip.InvalidAttributeValue, kmip.InvalidAttribute, kmip.NumericRange, kmip.IllegalOperation,
		kmip.CryptographicFailure, kmip.BadCryptographicParameters, kmip.UnsupportedCryptographicParameters,
		kmip.MultiValuedAttribute, kmip.IndexOutOfBounds, kmip.FeatureNotSupported, kmip.OperationNotSupported,
		kmip.UnsupportedAttribute, kmip.InvalidMessage, kmip.GeneralFailure:
		return true
	}
	return false
}
