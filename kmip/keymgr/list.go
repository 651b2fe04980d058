package keymgr

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"kmip-keymgr/kmip"
	"kmip-keymgr/protocol"
	"kmip-keymgr/ttlv"
)

// listBatch is how many objects are read in one round trip: few enough that their answers stay well below
// kmip.MaxResponse where they are keys, many enough that ten thousand objects take about two hundred round trips.
const listBatch = 50

// ListKeys reads all objects of a type that the caller may see.
func (m *Manager) ListKeys(ctx context.Context, who *protocol.Context, args *protocol.ListKeys) (*protocol.KeyList, error) {
	return do(ctx, m, who, args, m.listKeys)
}

func (m *Manager) listKeys(ctx context.Context, who *protocol.Context, args *protocol.ListKeys) (*protocol.KeyList, error) {
	located, err := m.locateAll(ctx, filter(args.ObjectType))
	if err != nil {
		return nil, err
	}
	list := &protocol.KeyList{Objects: []*protocol.Object{}}
	for ids := range slices.Chunk(located, listBatch) {
		if err := m.listSome(ctx, who, args, ids, list); err != nil {
			list.Clear()
			return nil, err
		}
		m.client.Forget()
	}
	return list, nil
}

// page is how many identifiers are asked for at a time where all of them are too large for one answer.
const page = 10000

// maxPasses is how often all objects are located where some are destroyed meanwhile.
const maxPasses = 3

// locateAll finds all objects with the attributes. Where some are destroyed between two answers, others move to before the next
// one and would be missed: it begins again.
func (m *Manager) locateAll(ctx context.Context, attributes kmip.Attributes) ([]string, error) {
	request := kmip.Locate{Attributes: attributes}
	for range maxPasses {
		request.OffsetItems = 0
		all, steady, err := m.locatePass(ctx, &request)
		if err != nil || steady {
			return all, err
		}
	}
	return nil, &protocol.Error{Kind: protocol.Unavailable, Retryable: true, Message: "objects are destroyed faster than they can be listed"}
}

// locatePass goes through all objects once, where a server names no more than so many at a time and says how many there are
// (since KMIP 1.3), or is asked for them by the page. One that is named again, by a server that always begins at the first or
// since another one was made in between, is listed once. steady is false where there were fewer from one answer to the next.
func (m *Manager) locatePass(ctx context.Context, request *kmip.Locate) (all []string, steady bool, err error) {
	known := map[string]bool{}
	for total := int32(0); ; {
		located, err := m.locateSome(ctx, request)
		if err != nil {
			return nil, false, err
		}
		m.client.Pin(true) // or else what another host does not know yet would be missing
		ids, before, paged := located.UniqueIdentifiers, len(all), request.MaximumItems > 0
		if paged && before > 0 && len(ids) > 0 && ids[0] == all[0] {
			return nil, false, errNoPages()
		}
		for _, id := range ids {
			if !known[id] {
				known[id] = true
				all = append(all, id)
			}
		}
		count := cmp.Or(located.LocatedItems, total) // which it need not say again
		request.OffsetItems += int32(len(ids))
		if count < total || len(all) == before || !paged && request.OffsetItems >= located.LocatedItems {
			return all, count >= total, nil
		}
		total = count
		m.client.Forget() // pages may be long, and many
	}
}

func errNoPages() error {
	return &protocol.Error{Kind: protocol.Unsupported, Message: "the server has too many objects to name them all in one answer, and " +
		"does not begin the next one where it is told to (Offset Items)"}
}

// locateSome finds all that is asked for or, where that is too large for one answer, a page of it. Before KMIP 1.3 there are no
// pages, for no answer can begin where another one ended.
func (m *Manager) locateSome(ctx context.Context, request *kmip.Locate) (*kmip.LocateResponse, error) {
	b := kmip.Batch{Bounded: true}
	located := kmip.Add(&b, request)
	err := m.client.Run(ctx, &b)
	if err == nil {
		err = located.Err
	}
	switch {
	case isNotFound(err): // as some servers say that there is none
		return &kmip.LocateResponse{}, nil
	case errors.Is(err, kmip.ResponseTooLarge) && request.MaximumItems == 0 && m.client.Version() >= kmip.V1_3:
		request.MaximumItems = page
		return m.locateSome(ctx, request)
	}
	return located.Response, err
}

// filter is what a Locate can look for. It only saves reading: what is read is checked against the same conditions.
func filter(t protocol.ObjectType) kmip.Attributes {
	kind := objectType(t)
	if kind == 0 {
		return nil
	}
	return kmip.Attributes{kmip.EnumAttribute(ttlv.TagObjectType, kind)}
}

// listSome reads one batch of objects. An object that went away between Locate and here is none to list, and one that the
// caller may not see is no reason to fail. Where they are too large for one answer, half of them may not be.
func (m *Manager) listSome(ctx context.Context, who *protocol.Context, args *protocol.ListKeys, ids []string, list *protocol.KeyList) error {
	all, errs, err := m.readAll(ctx, ids, !args.MetadataOnly)
	if half := len(ids) / 2; half > 0 && errors.Is(errors.Join(append(errs, err)...), kmip.ResponseTooLarge) {
		if err := m.listSome(ctx, who, args, ids[:half], list); err != nil {
			return err
		}
		return m.listSome(ctx, who, args, ids[half:], list)
	}
	if err != nil {
		return err
	}
	for i, f := range all {
		switch err := errs[i]; {
		case isNotFound(err), f != nil && !m.visible(who, f):
			continue
		case err != nil:
			return err
		}
		if err := m.list(args, f, list); err != nil {
			return err
		}
	}
	return nil
}

// readAll reads objects in one round trip: each, or why it could not be read.
func (m *Manager) readAll(ctx context.Context, ids []string, values bool) (all []*found, errs []error, err error) {
	b := kmip.Batch{Continue: true, Bounded: true}
	var results []func() (*found, error)
	for _, id := range ids {
		results = append(results, addRead(&b, id, values))
	}
	err = m.client.Run(ctx, &b)
	for _, result := range results {
		f, err := result()
		all, errs = append(all, f), append(errs, err)
	}
	return all, errs, err
}

// list appends an object if it is one of the type that has a key id.
func (m *Manager) list(args *protocol.ListKeys, f *found, list *protocol.KeyList) error {
	kind, err := f.kind()
	id := f.keyID()
	if err != nil || id == "" || f.destroyed() || (args.ObjectType != "" && kind != args.ObjectType) {
		return nil
	}
	object, err := f.object(id)
	if err != nil {
		return err
	}
	list.Objects = append(list.Objects, object)
	return nil
}

// keyID is the object's key id: its identifier if that is a UUID, else the first of its Names that is one. An object made
// by somebody else may have neither.
func (f *found) keyID() string {
	if protocol.IsUUID(f.id) {
		return f.id
	}
	names := f.attributes.Names()
	if i := slices.IndexFunc(names, protocol.IsUUID); i >= 0 {
		return names[i]
	}
	return ""
}
