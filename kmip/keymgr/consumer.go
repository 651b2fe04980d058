package keymgr

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"

	"kmip-keymgr/kmip"
	"kmip-keymgr/protocol"
	"kmip-keymgr/ttlv"
)

// Who uses an object is kept on the object itself: one Application Specific Information for each consumer, under a
// namespace that is the consumer's own. So two callers that add two consumers do not get into each other's way.
const consumerNamespace = "openstack-consumer-"

// consumer is a consumer as it is written down.
type consumer struct {
	Service      string `json:"service"`
	ResourceType string `json:"resource_type"`
	ResourceID   string `json:"resource_id"`
}

// consumerAttribute is the attribute that stands for a consumer.
func consumerAttribute(c protocol.Consumer) kmip.Attribute {
	text, _ := json.Marshal(consumer(c)) // texts always marshal
	digest := sha256.Sum256(text)
	return kmip.ApplicationAttribute(consumerNamespace+hex.EncodeToString(digest[:16]), string(text))
}

// consumersOf are those that an object records.
func consumersOf(shown []kmip.ApplicationInformation) []protocol.Consumer {
	var list []protocol.Consumer
	for _, info := range shown {
		var c consumer
		if strings.HasPrefix(info.Namespace, consumerNamespace) && json.Unmarshal([]byte(info.Data), &c) == nil {
			list = append(list, protocol.Consumer(c))
		}
	}
	return list
}

// recorded is the attribute that stands for a consumer as the object has it, nil where it has none.
func (f *found) recorded(c protocol.Consumer) *kmip.Attribute {
	want := consumerAttribute(c)
	for i := range f.attributes {
		if a := &f.attributes[i]; a.Tag == ttlv.TagApplicationSpecificInformation && a.Value.Equal(want.Value) {
			return a
		}
	}
	return nil
}

// sameIndex is how many instances of an attribute go by its name and index.
func (f *found) sameIndex(a *kmip.Attribute) (n int) {
	for i := range f.attributes {
		if b := &f.attributes[i]; b.AttributeName == a.AttributeName && b.Index == a.Index {
			n++
		}
	}
	return n
}

// AddConsumer records a consumer. One that is recorded already stays as it is.
func (m *Manager) AddConsumer(ctx context.Context, who *protocol.Context, args *protocol.ChangeConsumer) (*protocol.Done, error) {
	return do(ctx, m, who, args, m.addConsumer)
}

func (m *Manager) addConsumer(ctx context.Context, who *protocol.Context, args *protocol.ChangeConsumer) (*protocol.Done, error) {
	done := func(f *found, tried bool) bool { return f.recorded(args.Consumer) != nil }
	return &protocol.Done{}, m.changeConsumer(ctx, who, args.KeyID, done, func(ctx context.Context, f *found) error {
		_, err := kmip.Do(ctx, m.client, &kmip.AddAttribute{UniqueIdentifier: f.id, Attribute: consumerAttribute(args.Consumer)})
		return err
	})
}

// RemoveConsumer takes a consumer off the record. One that is not on it is not found.
func (m *Manager) RemoveConsumer(ctx context.Context, who *protocol.Context, args *protocol.ChangeConsumer) (*protocol.Done, error) {
	return do(ctx, m, who, args, m.removeConsumer)
}

func (m *Manager) removeConsumer(ctx context.Context, who *protocol.Context, args *protocol.ChangeConsumer) (*protocol.Done, error) {
	done := func(f *found, tried bool) bool { return tried && f.recorded(args.Consumer) == nil }
	return &protocol.Done{}, m.changeConsumer(ctx, who, args.KeyID, done, func(ctx context.Context, f *found) error {
		a := f.recorded(args.Consumer)
		if a == nil {
			return &protocol.Error{Kind: protocol.NotFound, Message: "the key has no such consumer"}
		}
		if m.client.Version() < kmip.V2_0 && f.sameIndex(a) > 1 { // and so the server could take another for it
			return &protocol.Error{Kind: protocol.Unsupported, Message: "the server does not tell the instances of an attribute apart by an index"}
		}
		_, err := kmip.Do(ctx, m.client, &kmip.DeleteAttribute{UniqueIdentifier: f.id, Current: a, Name: a.AttributeName, Index: a.Index})
		return err
	})
}

// changeConsumer reads the object and alters what is to be altered, unless that is done.
func (m *Manager) changeConsumer(ctx context.Context, who *protocol.Context, keyID string, done func(f *found, tried bool) bool, alter func(context.Context, *found) error) error {
	err := m.anywhere(ctx, func(ctx context.Context) error { return m.changeConsumerHere(ctx, who, keyID, done, alter) })
	var refused *keepsNoConsumers
	if !outcomeUnknown(err) && errors.As(err, &refused) {
		return &protocol.Error{Kind: protocol.Unsupported, Reason: asError(refused.error).Reason, Message: "the server cannot add or delete attributes, in which the consumers are kept"}
	}
	return noting(err, "the consumers of the key "+keyID+" may have been changed")
}

// keepsNoConsumers is the refusal of a server that can neither add nor delete attributes.
type keepsNoConsumers struct{ error }

func (r *keepsNoConsumers) Unwrap() error { return r.error }

// changeConsumerHere is changeConsumer at one host: that to which the client is pinned, or else the one that has the object.
func (m *Manager) changeConsumerHere(ctx context.Context, who *protocol.Context, keyID string, done func(f *found, tried bool) bool, alter func(context.Context, *found) error) error {
	f, err := m.find(ctx, who, keyID, false)
	if err != nil {
		return err
	}
	if done(f, false) {
		return nil
	}
	m.client.Pin(true)
	tried := false
	try := func() error {
		tried = true
		return alter(ctx, f)
	}
	look := func() (bool, error) {
		shown, err := m.find(ctx, who, keyID, false)
		if err != nil {
			return false, err
		}
		f = shown
		return done(f, tried), nil
	}
	err = m.once(ctx, change{try: try, look: look})
	if isRefusal(err) { // as of what another caller has done in between
		if there, _ := look(); there {
			return nil
		}
	}
	if !outcomeUnknown(err) && (errors.Is(err, kmip.OperationNotSupported) || errors.Is(err, kmip.InvalidMessage)) { // of which PyKMIP's is the latter
		return &keepsNoConsumers{err}
	}
	return err
}
