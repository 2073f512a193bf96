//! Options set one after another: `Training::default().epsilon(1e-3).gamma(false)`.

/// For each field a method of its name that sets it; for a field of the second list, to `Some` of what is given.
macro_rules! setters {
    ($owner:ident { $($name:ident: $type:ty,)* } $(or Some { $($optional:ident: $inner:ty,)* })?) => {
        impl $owner {
            $(
                #[doc = concat!("Sets [`", stringify!($owner), "::", stringify!($name), "`].")]
                #[must_use]
                pub fn $name(self, $name: $type) -> Self {
                    Self { $name, ..self }
                }
            )*
            $($(
                #[doc = concat!("Sets [`", stringify!($owner), "::", stringify!($optional), "`].")]
                #[must_use]
                pub fn $optional(self, $optional: $inner) -> Self {
                    Self { $optional: Some($optional), ..self }
                }
            )*)?
        }
    };
}

pub(crate) use setters;
