package bus

// Access lists a NATS user's permissions. A subject is denied if Publish does not list it, or if DenyPublish does.
type Access struct {
	// Publish lists the subjects that the user may publish to, and DenyPublish the exceptions.
	Publish, DenyPublish []string
	// Subscribe lists the subjects that the user may subscribe to.
	Subscribe []string
}

// CallbackSubjects returns the wildcard subject to which callbacks of the tenant's hooks may be published.
func CallbackSubjects(tenant string) string { return "whisperer.callback." + tenant + ".>" }

// EventSubjects returns the wildcard subject to which the tenant's events are published.
func EventSubjects(namespace Namespace, tenant string) string {
	return namespace.EventSubject(tenant, ">")
}

// ProgramAccess returns the permissions that subscription-api and delivery-worker need: the streams of their
// namespace. It denies deleting, backing up and restoring a stream, and removing anything from the ledger other than
// by recording it. Deleting single messages of the other streams is allowed: erasure and putting back messages that
// were set aside need it.
func ProgramAccess(namespace Namespace) Access {
	access := Access{
		DenyPublish: []string{"$JS.API.STREAM.DELETE.>", "$JS.API.STREAM.SNAPSHOT.>", "$JS.API.STREAM.RESTORE.>"},
		Subscribe:   []string{ProgramInbox + ".>", namespace.Subject(relaySubjects)},
	}
	for _, stream := range (&Bus{}).streams() {
		for _, subject := range stream.Subjects {
			access.Publish = append(access.Publish, namespace.Subject(subject))
		}
		if name := namespace.Stream(stream.Name); stream.Name == StreamLedger {
			access.DenyPublish = append(access.DenyPublish, "$JS.API.STREAM.MSG.DELETE."+name, "$JS.API.STREAM.PURGE."+name)
		}
	}
	access.Publish = append(access.Publish, namespace.Subject(relaySubjects), "whisperer.callback.>", "$JS.API.>", "$JS.ACK.>")
	return access
}

// PublisherAccess returns the permissions that an order management system needs to publish events for one tenant, in
// a NATS account of its own. Only its events leave that account, and replies reach only this user.
func PublisherAccess(namespace Namespace, tenant string) Access {
	return Access{
		Publish:   []string{EventSubjects(namespace, tenant)},
		Subscribe: []string{"_INBOX.>", CallbackSubjects(tenant)},
	}
}

// OperatorAccess returns the permissions of a person who manages, backs up and restores the streams.
func OperatorAccess() Access { return Access{Publish: []string{">"}, Subscribe: []string{">"}} }
