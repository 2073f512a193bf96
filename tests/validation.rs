//! Vulkan's validation layers watch every test, and have nothing to say. Needs an adapter.
//!
//! A test binary of its own, because it makes them say something. On Apple's systems wgpu has no Vulkan.
#![cfg(not(target_vendor = "apple"))]

mod common;

use common::{Problem, bare, lanes, messages, split, teams, unlimited, whole, with_subgroups};
use wgpu_batchnorm::wgpu;

#[test]
fn validation_layers_are_quiet_and_would_be_heard() {
    for device in [bare(), with_subgroups(), unlimited()] {
        for tuning in [whole(lanes()), split(lanes()), split(teams(32))] {
            for (outer, channels, inner) in [(3, 4, 9), (2, 3, 16), (12, 6, 1)] {
                let problem = Problem::usual(outer, channels, inner).tuned(tuning.clone());
                problem.assert_right(device);
                problem.inference().assert_right(device);
            }
        }
    }
    messages::assert_quiet();

    // SAFETY: what is made is destroyed before the device, and nothing else is touched
    let Some(vulkan) = (unsafe { bare().gpu.device().as_hal::<wgpu::hal::api::Vulkan>() }) else {
        println!("not on Vulkan: there are no validation layers");
        return;
    };
    if messages::no_layers() {
        println!("the validation layers are not installed: wgpu's own validation was all");
        return;
    }
    // a buffer of no bytes and for no use, which Vulkan forbids
    // SAFETY: every driver that wgpu runs on answers with a buffer or an error
    unsafe {
        if let Ok(buffer) = vulkan.raw_device().create_buffer(&Default::default(), None) {
            vulkan.raw_device().destroy_buffer(buffer, None);
        }
    }
    let said = messages::all();
    assert!(
        said.iter()
            .any(|message| message.contains("VUID-VkBufferCreateInfo")),
        "the layers said nothing of a wrong call: {said:?}"
    );
}
