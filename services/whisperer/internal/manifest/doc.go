// Package manifest reads and writes the YAML file that describes a tenant's hooks, own event types and policies. It
// plans the changes by which the tenant differs from the file, and applies them.
//
//	tenant: acme                      # optional
//	handshake: new_hosts              # optional; an operator's to change
//	retention:                        # optional
//	  - {event_type: customer.*, days: 30}
//	event_types:                      # optional
//	  - name: shop.opened
//	    description: A shop was opened.
//	hooks:
//	  - name: erp                     # tells hooks apart: each name once
//	    event_types: [package.>, order.created]
//	    target_url: https://erp.example.com/hooks
//	    secret_key: ${ERP_SECRET}     # from the environment; $${ is a ${ of one's own
//	    config: {format: standard}
//
// The fields of a hook are those of the API. An absent field means its default, except that status, secret_key and
// api_key are left unchanged if they are absent.
package manifest
